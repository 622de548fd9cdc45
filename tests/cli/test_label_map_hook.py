import errno
from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.cli import label_map_hook
from deepunetto_mm.cli.label_map_hook import LabelMapHook, distinct_names
from deepunetto_mm.utils.errors import UsageError


def _sample(path, labels, **meta):
    sample = SegDataSample(metainfo=dict(img_path=path, **meta))
    sample.set_data(dict(pred_sem_seg=PixelData(data=torch.tensor([labels]))))
    return sample


def _runner(*paths):
    infos = [dict(img_path=path) for path in paths]
    dataset = type('Data', (), dict(get_data_info=lambda self, i: infos[i], __len__=lambda self: len(infos)))()
    return SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=dataset), logger=SimpleNamespace(error=lambda text: None)
    )


@pytest.mark.parametrize(
    ('paths', 'names'),
    [
        (['x/a.png', 'y/b.png'], ['a', 'b']),
        (['x/a.png', 'y/a.png'], ['x/a', 'y/a']),
        (['x/a.png', 'x/A.png'], ['a.png', 'A.png']),
        (['x/a.png', 'x/a.jpg'], ['a.png', 'a.jpg']),
        (['x/a.png', 'x/a.png', ''], ['a', 'a', None]),
    ],
)
def test_names_do_not_meet(paths, names):
    assert [distinct_names(paths).get(path) for path in paths] == names


def test_maps_are_written_as_the_masks_count(tmp_path):
    runner, hook = _runner('x/a.png', 'y/a.png'), LabelMapHook(str(tmp_path))
    hook.before_test(runner)
    samples = [_sample('x/a.png', [[0, 2]], reduce_zero_label=True), _sample('y/a.png', [[0, 300]])]
    hook.after_test_iter(runner, 0, outputs=samples)
    first, second = (cv2.imread(str(tmp_path / f'{name}/a.png'), cv2.IMREAD_UNCHANGED) for name in 'xy')
    assert (first.tolist(), first.dtype) == ([[1, 3]], 'uint8')
    assert (second.tolist(), second.dtype) == ([[0, 300]], 'uint16')


def test_a_full_disk_ends_the_writing_and_not_the_test(tmp_path, monkeypatch):
    def full(path, labels):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(label_map_hook, 'write_png', full)
    runner, hook = _runner('a.png', 'b.png'), LabelMapHook(str(tmp_path))
    hook.before_test(runner)
    hook.after_test_iter(runner, 0, outputs=[_sample('a.png', [[0]]), _sample('b.png', [[0]])])
    assert hook.error.errno == errno.ENOSPC
    hook.after_test_iter(runner, 1, outputs=[SegDataSample()])  # not looked at


@pytest.mark.parametrize('errors', [[None, None], [None, OSError(errno.ENOSPC, 'full')]])
def test_an_error_of_another_process_is_known_to_the_first(tmp_path, monkeypatch, errors):
    monkeypatch.setattr(label_map_hook, 'all_gather_object', lambda own: [own, *errors[1:]])
    hook = LabelMapHook(str(tmp_path))
    hook.after_test_epoch(_runner())
    assert hook.error is errors[1]


def test_a_model_without_label_maps(tmp_path):
    with pytest.raises(UsageError, match='the model predicts none'):
        LabelMapHook(str(tmp_path)).after_test_iter(_runner(), 0, outputs=[SegDataSample()])
