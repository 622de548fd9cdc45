import json
import re
import runpy

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from mmseg.registry import DATASETS, MODELS

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets import RodConeShapes

FIGURES = (
    'aAcc',
    'mIoU',
    'mAcc',
    'fine/recognition',
    'fine/mean_class',
    'fine/top1',
    'fine/top5',
    'fine/found',
    'fine/precision',
    'fine/PQ',
    'composed/mIoU',
)


@pytest.fixture(scope='module')
def config(repository):
    return repository / 'tests' / 'data' / 'shallow_config.py'


@pytest.fixture(scope='module')
def checkpoint(config, tmp_path_factory):
    """An untrained model's checkpoint."""
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(config).model)
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_1.pth'
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))
    return path


@pytest.fixture
def test(in_process):
    return in_process('tools/test.py')


def test_prints_the_figures_and_writes_the_pictures(test, config, checkpoint, tmp_path, capsys):
    out, pictures = tmp_path / 'out', tmp_path / 'pictures'
    test(config, checkpoint, '--work-dir', tmp_path, '--out', out, '--show-dir', pictures)
    printed = capsys.readouterr().out
    end = printed[printed.rindex(str(checkpoint)) :]
    for name in FIGURES:
        assert re.search(rf'^  {re.escape(name)} +(\d+\.\d\d|nan)$', end, re.MULTILINE), name
    label_maps = sorted(out.glob('*.png'))
    assert len(label_maps) == 3
    label_map = cv2.imread(str(label_maps[0]), cv2.IMREAD_UNCHANGED)
    assert label_map.shape == (64, 64)
    assert set(np.unique(label_map)) <= {0, 1, 2, 3}
    named = re.search(r'^pictures: (.+)$', end, re.MULTILINE)[1]
    assert len(list(type(pictures)(named).glob('*.png'))) == 3


def test_takes_the_newest_checkpoint_of_a_folder(test, config, checkpoint, tmp_path, capsys):
    test(config, checkpoint.parent, '--work-dir', tmp_path, '--tta')
    assert f'{config} with {checkpoint}:' in capsys.readouterr().out


@pytest.fixture
def cityscapes(repository, config, mmseg_scope, tmp_path):
    """A tiny network's config and checkpoint, and a small tree in the layout of Cityscapes."""
    write_tree = runpy.run_path(str(repository / 'tests/data/cityscapes_tree.py'))['write_tree']
    write_tree(tmp_path / 'tree', size=(48, 96))
    cfg = Config.fromfile(config)
    data = Config.fromfile(repository / 'configs/_base_/datasets/cityscapes.py')
    cfg.merge_from_dict({'model.decode_head.num_classes': 13, 'model.region_proposer.min_area': 100})
    cfg.model.taxonomy = data.taxonomy
    cfg.test_evaluator = data.test_evaluator
    cfg.test_dataloader.dataset = data.test_dataloader.dataset
    cfg.test_dataloader.dataset.data_root = str(tmp_path / 'tree')
    cfg.dump(tmp_path / 'tiny_cityscapes.py')
    path = tmp_path / 'cityscapes.pth'
    save_checkpoint(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), str(path))
    return tmp_path / 'tiny_cityscapes.py', path


def test_format_only_writes_a_submission_without_ground_truth(test, cityscapes, tmp_path, capsys):
    test_split = 'test_dataloader.dataset.data_prefix.img_path=leftImg8bit/test'
    test(*cityscapes, '--work-dir', tmp_path / 'work', '--format-only', '--cfg-options', test_split)
    submission = tmp_path / 'work' / 'submission'
    assert capsys.readouterr().out.splitlines()[-1] == f'submission: {submission}'
    frames = ['berlin_000000_000019', 'berlin_000001_000019', 'bonn_000000_000019']
    assert sorted(path.name for path in (submission / 'pixel').iterdir()) == [f'{name}_labelIds.png' for name in frames]
    assert sorted(path.stem for path in (submission / 'instance').glob('*.txt')) == frames
    label_ids = cv2.imread(str(submission / 'pixel' / f'{frames[0]}_labelIds.png'), cv2.IMREAD_UNCHANGED)
    assert label_ids.shape == (48, 96)
    assert label_ids.min() >= 7


def test_out_names_the_folder_of_the_submission(test, cityscapes, tmp_path, capsys):
    test(*cityscapes, '--work-dir', tmp_path / 'work', '--format-only', '--out', tmp_path / 'x')
    assert capsys.readouterr().out.splitlines()[-1] == f'submission: {tmp_path / "x"}'
    assert len(list((tmp_path / 'x' / 'pixel').glob('*.png'))) == 4


def test_cityscapes_figures_are_printed(test, cityscapes, tmp_path, capsys):
    test(*cityscapes, '--work-dir', tmp_path)
    printed = capsys.readouterr().out
    for name in (
        'composed/mIoU',
        'composed/category_mIoU',
        'cityscapes/IoU',
        'cityscapes/category_IoU',
        'cityscapes/AP',
    ):
        assert re.search(rf'^  {re.escape(name)} +(\d+\.\d\d|nan)$', printed, re.MULTILINE), name
    assert cv2.imread(re.search(r'^confusion matrix: (.+)$', printed, re.MULTILINE)[1]) is not None


@pytest.fixture
def coco(repository, config, mmseg_scope, tmp_path):
    """A tiny network's config and checkpoint over pictures that COCO's format lists, without annotations."""
    tools = runpy.run_path(str(repository / 'tests/data/coco_tree.py'))
    tools['write_pictures'](tmp_path / 'tree')
    tools['write_json'](tmp_path / 'tree', annotations=None)
    cfg = Config.fromfile(config)
    dataset = cfg.test_dataloader.dataset = dict(
        type='deepunetto_mm.CocoFineDataset',
        data_root=str(tmp_path / 'tree'),
        ann_file='instances.json',
        data_prefix=dict(img_path='images'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 48), keep_ratio=False),
            dict(type='deepunetto_mm.LoadCocoAnnotations'),
            dict(type='deepunetto_mm.PackRegionInputs'),
        ],
    )
    cfg.model.taxonomy = DATASETS.build(dataset).metainfo['taxonomy']
    cfg.merge_from_dict({'model.decode_head.num_classes': 3, 'model.region_proposer.min_area': 1})
    cfg.test_evaluator = [
        dict(type='deepunetto_mm.FineGrainedMetric'),
        dict(type='deepunetto_mm.CocoMetric', data_root=dataset['data_root'], ann_file='instances.json'),
    ]
    cfg.dump(tmp_path / 'tiny_coco.py')
    path = tmp_path / 'coco.pth'
    save_checkpoint(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), str(path))
    return tmp_path / 'tiny_coco.py', path


def test_format_only_writes_the_files_of_coco(test, coco, tmp_path, capsys):
    test(*coco, '--work-dir', tmp_path / 'work', '--format-only', '--out', tmp_path / 'x')
    assert capsys.readouterr().out.splitlines()[-1] == f'submission: {tmp_path / "x"}'
    ids = [42, 7, 300]
    assert [item['image_id'] for item in json.loads((tmp_path / 'x/panoptic.json').read_text())['annotations']] == ids
    for item in json.loads((tmp_path / 'x/instances.json').read_text()):
        assert item['image_id'] in ids
        assert item['category_id'] in (7, 40, 3)
        assert item['segmentation']['size'] == [6, 8]
    for image_id in ids:
        assert cv2.imread(str(tmp_path / f'x/panoptic/{image_id:012d}.png')).shape == (6, 8, 3)


@pytest.fixture
def folders(config, tmp_path, monkeypatch):
    """``folders(*names, **options)``: a config over pictures of the same names in folders, and their masks."""
    scenes = RodConeShapes(num_scenes=2, seed=0, size=(64, 64))
    for day in ('mon', 'tue'):
        for kind, key in (('images', 'img'), ('masks', 'gt_seg_map')):
            (tmp_path / 'data' / kind / day).mkdir(parents=True)
            for index in range(2):
                cv2.imwrite(str(tmp_path / f'data/{kind}/{day}/{index}.png'), scenes.get_data_info(index)[key])

    def write(*names, masks=True, **dataset):
        cfg = Config.fromfile(config)
        pipeline = [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions')]
        parts = [
            dict(
                type='deepunetto_mm.CoarseFineDataset',
                data_root=str(tmp_path / 'data'),
                data_prefix=dict(img_path=f'images{name}', **dict(seg_map_path=f'masks{name}') if masks else {}),
                img_suffix='.png',
                fine_label_file=None,
                test_mode=True,
                metainfo=dict(taxonomy=cfg.model.taxonomy),
                pipeline=[dict(type='LoadImageFromFile'), *pipeline, dict(type='deepunetto_mm.PackRegionInputs')],
                **dataset,
            )
            for name in names
        ]
        cfg.tta_pipeline[0].transforms.append([dict(type='deepunetto_mm.PackRegionInputs')])
        cfg.tta_pipeline[0].transforms[1:2] = [[item] for item in pipeline]
        cfg.tta_pipeline.insert(0, dict(type='LoadImageFromFile'))
        cfg.test_dataloader.dataset = parts[0] if len(parts) == 1 else dict(type='ConcatDataset', datasets=parts)
        # Laying the config out as Python would take longer than the test.
        cfg.dump(tmp_path / 'folders.json')
        monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: ''))
        return tmp_path / 'folders.json'

    return write


def _pngs(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.png'))


@pytest.mark.parametrize(
    ('names', 'options'), [([''], []), (['/mon', '/tue'], []), (['/mon', '/tue'], ['--tta']), ([''], ['--format-only'])]
)
def test_pictures_of_one_name_do_not_overwrite_each_other(test, folders, checkpoint, tmp_path, names, options):
    test(folders(*names), checkpoint, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out', *options)
    assert _pngs(tmp_path / 'out') == ['mon/0.png', 'mon/1.png', 'tue/0.png', 'tue/1.png']


def test_names_that_differ_are_in_one_folder(test, folders, checkpoint, tmp_path):
    for index in range(2):
        for kind in ('images', 'masks'):
            (tmp_path / f'data/{kind}/tue/{index}.png').rename(tmp_path / f'data/{kind}/tue/{index + 2}.png')
    config = folders('', reduce_zero_label=True)
    test(config, checkpoint, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out')
    assert _pngs(tmp_path / 'out') == ['0.png', '1.png', '2.png', '3.png']
    # Labels count from 1 in the files, as in the masks that they are compared with.
    inferencer = DeepUNettoInferencer(config, checkpoint, 'cpu', show_progress=False)
    (sample,) = inferencer(tmp_path / 'data/images/mon/0.png', return_datasamples=True)
    written = cv2.imread(str(tmp_path / 'out/0.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(written, sample.pred_sem_seg.data[0] + 1)


@pytest.mark.parametrize(('names', 'options'), [([''], []), (['/mon', '/tue'], ['--tta'])])
def test_pictures_without_masks_are_predicted(test, folders, checkpoint, tmp_path, capsys, names, options):
    config = folders(*names, masks=False)
    test(config, checkpoint, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out', *options)
    assert _pngs(tmp_path / 'out') == ['mon/0.png', 'mon/1.png', 'tue/0.png', 'tue/1.png']
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f'predictions: {tmp_path / "out"}'
    assert 'have no masks or labels: IoUMetric, FineGrainedMetric left out' in printed
    with pytest.raises(SystemExit):
        test(config, checkpoint, '--work-dir', tmp_path / 'work')
    assert re.match(
        r'error: the test data have no masks or labels, and IoUMetric, FineGrainedMetric nothing to score: add --out',
        capsys.readouterr().err.splitlines()[-1],
    )


@pytest.mark.parametrize('format_only', [False, True])
def test_label_maps_that_the_config_asks_for(test, folders, checkpoint, tmp_path, capsys, format_only):
    """As mmseg's documents say, by its IoUMetric."""
    out = tmp_path / 'out'
    options = dict(output_dir=str(out), format_only=format_only)
    evaluators = [f'test_evaluator.0.{key}={value}' for key, value in options.items()]
    test(folders(''), checkpoint, '--work-dir', tmp_path / 'work', '--cfg-options', *evaluators)
    assert _pngs(out) == ['mon/0.png', 'mon/1.png', 'tue/0.png', 'tue/1.png']
    assert ('\n  mIoU ' in capsys.readouterr().out) != format_only


def test_figures_come_before_what_cannot_be_written(test, folders, checkpoint, tmp_path, capsys):
    (tmp_path / 'out').write_text('a file, where a folder is wanted')
    with pytest.raises(SystemExit) as stopped:
        test(folders('/mon'), checkpoint, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out')
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert re.search(r'^  mIoU +\d', printed.out, re.MULTILINE)
    assert re.match(r'error: .*out', printed.err.splitlines()[-1])


def test_figures_are_written_for_machines(test, config, checkpoint, tmp_path, capsys):
    test(config, checkpoint, '--work-dir', tmp_path, '--out-metrics', tmp_path / 'new' / 'figures.json')
    printed = capsys.readouterr().out
    text = (tmp_path / 'new/figures.json').read_text()
    content = json.loads(text, parse_constant=pytest.fail)  # no NaN, which is not JSON
    assert content['checkpoint'] == str(checkpoint)
    for name, value in content['figures'].items():
        shown = re.search(rf'^  {re.escape(name)} +(\S+)$', printed, re.MULTILINE)[1]
        assert shown == ('nan' if value is None else f'{value:.2f}')
    assert list(content['classes'])[:2] == ['clutter', 'red disk']
    red = content['classes']['red disk']
    assert set(red) == {'group', 'regions', 'fine/found', 'fine/recognition', 'fine/top1', 'fine/PQ', 'composed/IoU'}
    assert red['group'] == 'disk'
    assert 'red disk' not in printed[printed.rindex(str(checkpoint)) :]  # means alone


def test_figures_that_are_no_numbers(test, config, checkpoint, tmp_path, capsys, monkeypatch):
    nan = float('nan')
    figures = dict(recall=[50.0, nan], matrix=torch.eye(2), low=np.float32(nan), high=torch.tensor(2.5), n=3, kind='x')
    monkeypatch.setattr('mmengine.runner.Runner.test', lambda runner: figures)
    test(config, checkpoint, '--work-dir', tmp_path, '--out-metrics', tmp_path / 'figures.json')
    printed = capsys.readouterr().out
    for name, shown in dict(
        recall='[50.0, nan]', matrix='[[1.0, 0.0], [0.0, 1.0]]', low='nan', high='2.50', n='3.00', kind='x'
    ).items():
        assert f'\n  {name:<24} {shown}\n' in printed
    content = json.loads((tmp_path / 'figures.json').read_text(), parse_constant=pytest.fail)
    assert content['figures'] == dict(
        recall=[50.0, None], matrix=[[1.0, 0.0], [0.0, 1.0]], low=None, high=2.5, n=3, kind='x'
    )


@pytest.mark.parametrize(
    ('checkpoint_name', 'options', 'message'),
    [
        ('absent.pth', (), r"error: no checkpoint at '.*absent\.pth'"),
        ('', (), r"error: no intact checkpoint \(iter_\*\.pth, epoch_\*\.pth\) in '.*'"),
        (None, ('--tta', '--cfg-options', 'tta_model=None'), r'error: the config .* has no tta_model'),
        (
            None,
            ('--tta', '--cfg-options', 'tta_model.type=SegTTAModel'),
            r"error: SegTTAModel of .* averages only the segmentation, .* set tta_model\.type='deepunetto_mm\.",
        ),
        (
            None,
            ('--format-only',),
            r'error: --format-only needs an evaluator that writes a submission \(CityscapesMetric, CocoMetric\), or '
            r'--out DIR for label maps; test_evaluator of .*shallow_config\.py has IoUMetric, FineGrainedMetric',
        ),
        (
            None,
            ('--show-dir', 'x', '--cfg-options', 'default_hooks.visualization=None'),
            r'error: --show and --show-dir need default_hooks\.visualization',
        ),
    ],
)
def test_what_is_missing_is_one_line(test, config, checkpoint, tmp_path, capsys, checkpoint_name, options, message):
    path = checkpoint if checkpoint_name is None else tmp_path / checkpoint_name
    with pytest.raises(SystemExit) as stopped:
        test(config, path, '--work-dir', tmp_path, *options)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(message, last), last
