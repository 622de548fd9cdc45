"""Which pictures are drawn, from where, and under which names."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.structures import PixelData
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample

from deepunetto_mm.engine import RegionVisualizationHook
from deepunetto_mm.guards.training_loader import WrappedDataset
from deepunetto_mm.registry import HOOKS
from deepunetto_mm.visualization import RegionVisualizer


class Recorder:
    def __init__(self):
        self.calls = []

    def add_datasample(self, name, image, data_sample=None, show=False, wait_time=0, step=0, with_image=False):
        self.calls.append(SimpleNamespace(name=name, image=image, show=show, wait=wait_time, step=step))

    @property
    def names(self):
        return [call.name for call in self.calls]


@pytest.fixture
def runner():
    loader = SimpleNamespace(dataset=SimpleNamespace())  # of a dataset without a pipeline
    return SimpleNamespace(visualizer=Recorder(), iter=40, val_dataloader=loader, test_dataloader=loader)


def make_sample(path, shape=(4, 6), **meta):
    sample = SegDataSample(metainfo=dict(ori_shape=shape, **meta))
    if path is not None:
        sample.set_metainfo(dict(img_path=str(path)))
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
    return sample


def make_batch(*bgr, shape=(4, 6)):
    return dict(inputs=[torch.tensor(colour, dtype=torch.uint8).reshape(3, 1, 1).expand(3, *shape) for colour in bgr])


def test_draws_nothing_unless_asked(runner):
    hook = RegionVisualizationHook()
    hook.after_test_iter(runner, 0, make_batch((1, 2, 3)), [make_sample('a.png')])
    hook.after_val_iter(runner, 0, make_batch((1, 2, 3)), [make_sample('a.png')])
    assert runner.visualizer.calls == []


def test_a_visualizer_that_draws_no_samples_is_an_error_before_the_run(runner):
    runner.visualizer = Visualizer()
    RegionVisualizationHook().before_run(runner)
    hook = RegionVisualizationHook(draw=True)
    with pytest.raises(ValueError, match=r"by deepunetto_mm.RegionVisualizer, and visualizer.type is 'Visualizer'"):
        hook.before_run(runner)
    runner.visualizer = RegionVisualizer()
    hook.before_run(runner)


def test_takes_the_picture_from_its_file(runner, tmp_path):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.full((4, 6, 3), (10, 20, 30), np.uint8))
    batch = make_batch((1, 2, 3), shape=(2, 3))
    RegionVisualizationHook(draw=True).after_test_iter(runner, 0, batch, [make_sample(path)])
    (call,) = runner.visualizer.calls
    assert call.image.shape == (4, 6, 3)
    assert (call.image == (30, 20, 10)).all()
    assert (call.name, call.step) == ('test_a', 1)


def _dataset(loader):
    """A dataset whose pipeline has the loader, after the one of the annotations."""
    pipeline = [dict(type='LoadAnnotations'), loader, dict(type='deepunetto_mm.PackRegionInputs')]
    return BaseDataset(lazy_init=True, pipeline=pipeline)


WRAPPERS = dict(
    none=lambda dataset: dataset,
    concat=lambda dataset: ConcatDataset([dataset, dataset], lazy_init=True),
    repeat=lambda dataset: WrappedDataset(RepeatDataset(dataset, times=2, lazy_init=True)),
)


@pytest.mark.parametrize('wrap', WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize('split', ['val', 'test'])
def test_draws_a_file_as_the_pipeline_loads_it(runner, mmseg_scope, tmp_path, wrap, split):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.full((4, 6, 3), (1000, 2000, 3000), np.uint16))
    loader = dict(type='deepunetto_mm.LoadScaledImage', low=0, high=4000, channels=(0, 2, 1))
    # The other loop has another loader.
    runner.val_dataloader = runner.test_dataloader = SimpleNamespace(dataset=_dataset(dict(type='LoadImageFromFile')))
    setattr(runner, f'{split}_dataloader', SimpleNamespace(dataset=wrap(_dataset(loader))))
    hook = RegionVisualizationHook(draw=True)
    getattr(hook, f'after_{split}_iter')(runner, 0, make_batch((1, 2, 3)), [make_sample(path)])
    (call,) = runner.visualizer.calls
    assert (call.image.shape, call.image.dtype) == ((4, 6, 3), np.uint8)
    assert (call.image == (191, 64, 128)).all()  # 255 / 4000 of 3000, 1000 and 2000


@pytest.mark.parametrize('kind', ['float', 'grey'])
def test_a_loaded_picture_that_cannot_be_drawn_is_read_by_mmcv(runner, mmseg_scope, tmp_path, kind):
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), np.full((4, 6), 30, np.uint8))
    options = dict(to_float32=True) if kind == 'float' else dict(color_type='unchanged')
    runner.test_dataloader = SimpleNamespace(dataset=_dataset(dict(type='LoadImageFromFile', **options)))
    RegionVisualizationHook(draw=True).after_test_iter(runner, 0, make_batch((1, 2, 3)), [make_sample(path)])
    (call,) = runner.visualizer.calls
    assert (call.image.shape, call.image.dtype) == ((4, 6, 3), np.uint8)
    assert (call.image == 30).all()


@pytest.mark.parametrize('path', ['scene 3', None])
def test_takes_the_picture_from_the_batch_in_the_original_size(runner, path):
    batch = make_batch((1, 2, 3), shape=(8, 12))
    RegionVisualizationHook(draw=True).after_test_iter(runner, 5, batch, [make_sample(path)])
    (call,) = runner.visualizer.calls
    assert call.image.shape == (4, 6, 3)
    assert (call.image == (3, 2, 1)).all()
    assert call.name == ('test_scene_3' if path else 'test_batch_5_picture_0')


def test_takes_the_view_that_is_not_flipped(runner):
    batch = dict(
        inputs=[make_batch((1, 1, 1))['inputs'], make_batch((2, 2, 2))['inputs']],
        data_samples=[[make_sample('a', flip=True)], [make_sample('a', flip=False)]],
    )
    RegionVisualizationHook(draw=True).after_test_iter(runner, 0, batch, [make_sample('a')])
    assert (runner.visualizer.calls[0].image == 2).all()


def test_testing_draws_every_picture_under_a_name_of_its_own(runner):
    hook = RegionVisualizationHook(draw=True)
    hook.before_test(runner)
    for batch_idx, paths in enumerate([('x/1.png', 'y/1.png'), ('x/2.png',)]):
        batch = make_batch(*[(0, 0, 0)] * len(paths))
        hook.after_test_iter(runner, batch_idx, batch, [make_sample(path) for path in paths])
    assert runner.visualizer.names == ['test_1', 'test_1_2', 'test_2']
    assert [call.step for call in runner.visualizer.calls] == [1, 2, 3]


@pytest.mark.parametrize(('draw', 'processes', 'told'), [(True, 2, 1), (True, 1, 0), (False, 2, 0)])
def test_what_other_processes_do_not_draw_is_told(runner, monkeypatch, draw, processes, told):
    warnings = []
    runner.logger = SimpleNamespace(warning=warnings.append)
    monkeypatch.setattr('deepunetto_mm.engine.hooks.region_visualization_hook.get_world_size', lambda: processes)
    RegionVisualizationHook(draw=draw).before_test(runner)
    assert len(warnings) == told
    assert all(text.startswith('only the pictures of the first of 2 processes are drawn: ') for text in warnings)


def test_validation_draws_the_same_pictures_each_time(runner):
    hook = RegionVisualizationHook(draw=True, interval=2)
    for iteration in (40, 80):
        runner.iter = iteration
        hook.before_val(runner)
        for batch_idx in range(5):
            batch = [make_sample(f'{batch_idx}_{position}.png') for position in range(2)]
            hook.after_val_iter(runner, batch_idx, make_batch((0, 0, 0), (0, 0, 0)), batch)
    assert runner.visualizer.names == ['val_0_0', 'val_2_0', 'val_4_0'] * 2
    assert [call.step for call in runner.visualizer.calls] == [40] * 3 + [80] * 3


def test_at_most_so_many_pictures_a_pass(runner):
    hook = RegionVisualizationHook(draw=True, interval=1, max_pictures=2)
    for _ in range(2):
        hook.before_val(runner)
        for batch_idx in range(4):
            hook.after_val_iter(runner, batch_idx, make_batch((0, 0, 0)), [make_sample(f'{batch_idx}.png')])
    assert runner.visualizer.names == ['val_0', 'val_1'] * 2


def test_show_is_passed_on(runner):
    hook = RegionVisualizationHook(draw=True, show=True, wait_time=1.5)
    hook.after_test_iter(runner, 0, make_batch((0, 0, 0)), [make_sample('a')])
    assert (runner.visualizer.calls[0].show, runner.visualizer.calls[0].wait) == (True, 1.5)


def test_writes_exactly_the_expected_files(runner, tmp_path):
    runner.visualizer = RegionVisualizer(
        name='files', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path), min_side=1
    )
    hook = HOOKS.build(dict(type='deepunetto_mm.RegionVisualizationHook', draw=True, with_image=False))
    samples = [make_sample('x/1.png'), make_sample('y/1.png')]
    hook.after_test_iter(runner, 0, make_batch((9, 9, 9), (8, 8, 8)), samples)
    written = sorted(tmp_path.rglob('*.*'))
    assert [path.name for path in written] == ['test_1_1.png', 'test_1_2_2.png']
    assert (cv2.imread(str(written[1]))[-4:] == 8).all(axis=-1).any()


def test_interval_below_one():
    with pytest.raises(ValueError, match='interval'):
        RegionVisualizationHook(interval=0)


def test_what_cannot_be_drawn_does_not_end_the_run(runner, monkeypatch):
    errors = []
    runner.logger = SimpleNamespace(error=errors.append)
    hook = RegionVisualizationHook(draw=True)
    hook.after_test_iter(runner, 0, make_batch((1, 2, 3)), [make_sample('0.png')])

    def fail(*args, **options):
        raise OSError('disk full')

    monkeypatch.setattr(runner.visualizer, 'add_datasample', fail)
    for index in range(1, 9):
        hook.after_test_iter(runner, index, make_batch((1, 2, 3)), [make_sample(f'{index}.png')])
    message = 'is not drawn: OSError: disk full'
    assert errors == [f'1.png {message}', f'2.png {message}', f'3.png {message}; no more are drawn']
