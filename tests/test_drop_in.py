"""mmseg's and mmpretrain's documented entry points, given our configs, models and data.

Tried once each by hand and not here: ``tools/train.py``, ``print_config.py`` and ``publish_model.py`` of mmseg work.
``tools/test.py --out`` of mmseg takes no list of evaluators, and ``pytorch2torchscript.py`` no config that has
``model.test_cfg`` beside ``test_cfg``, whosever the model is; ``RSInferencer`` needs GDAL and ``visualization_cam.py``
pytorch-grad-cam.
"""

import copy
import importlib.util
import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import mmseg
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.apis import ImageClassificationInferencer, get_model
from mmseg.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot
from mmseg.apis.utils import _preprare_data
from mmseg.registry import DATASETS, MODELS

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets import RodConeShapes

ROOT = Path(__file__).resolve().parents[1]
TOOLS = Path(mmseg.__file__).parent / '.mim' / 'tools'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Six scenes as files, a config that reads them, and an untrained model's checkpoint."""
    root = tmp_path_factory.mktemp('drop_in')
    scenes = RodConeShapes(num_scenes=6, seed=1, size=(64, 64))
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    for index in range(6):
        scene = scenes.get_data_info(index)
        cv2.imwrite(str(root / f'images/{index}.png'), scene['img'])
        cv2.imwrite(str(root / f'masks/{index}.png'), scene['gt_seg_map'])
    init_default_scope('mmseg')
    cfg = Config.fromfile(ROOT / 'tests/data/tiny_config.py')
    cfg.test_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='deepunetto_mm.LoadRegions'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    dataset = dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        fine_label_file=None,
        metainfo=dict(taxonomy=cfg.model.taxonomy),
        pipeline=cfg.test_pipeline,
    )
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset = dataset
        cfg[f'{split}_dataloader'].persistent_workers = False
    cfg.dump(root / 'config.py')
    state = MODELS.build(cfg.model).state_dict()
    meta = dict(dataset_meta=DATASETS.build(dataset).metainfo)
    torch.save(dict(state_dict=state, meta=meta), root / 'weights.pth')
    return root


@pytest.fixture
def expected(root):
    """Label map of the first picture."""
    inferencer = DeepUNettoInferencer(root / 'config.py', root / 'weights.pth', 'cpu', show_progress=False)
    (sample,) = inferencer(root / 'images/0.png', return_datasamples=True)
    return sample.pred_sem_seg.data


@pytest.fixture
def tool(root, tmp_path, monkeypatch, capsys):
    """Run a script of mmseg's in this process; what it printed."""

    def run(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(str(TOOLS / script), run_name='__main__')
        pyplot.close('all')
        return capsys.readouterr().out

    return run


def test_init_model_and_inference_model(root, expected):
    model = init_model(str(root / 'config.py'), str(root / 'weights.pth'), device='cpu')
    path = str(root / 'images/0.png')
    sample = inference_model(model, path)
    assert sample.pred_sem_seg.data.equal(expected)
    assert 'pred_regions' in sample
    pictures = [cv2.imread(path), cv2.imread(path)]
    assert [sample.pred_sem_seg.data.equal(expected) for sample in inference_model(model, pictures)] == [True, True]
    drawn = show_result_pyplot(model, path, sample, show=False, out_file=str(root / 'drawn.png'))
    assert drawn.shape == (64, 64, 3)


def test_mmsegs_inferencer(root, expected, tmp_path):
    inferencer = MMSegInferencer(str(root / 'config.py'), str(root / 'weights.pth'), device='cpu')
    assert inferencer.visualizer.dataset_meta is None  # not Cityscapes
    path = str(root / 'images/0.png')
    result = inferencer(path, return_vis=True, out_dir=str(tmp_path))
    assert np.array_equal(result['predictions'], expected[0])
    assert inferencer.visualizer.dataset_meta['classes'] == ('clutter', 'disk', 'ring', 'cross')
    assert cv2.imread(str(tmp_path / 'vis/0.png')).shape == result['visualization'].shape
    assert np.array_equal(cv2.imread(str(tmp_path / 'pred/00000000_pred.png'), cv2.IMREAD_UNCHANGED), expected[0])
    assert np.array_equal(inferencer(cv2.imread(path))['predictions'], expected[0])


@pytest.mark.parametrize(
    'config', sorted(path.name for path in (ROOT / 'configs').glob('*.py') if not path.name.startswith('classifier'))
)
def test_mmsegs_ways_to_read_pictures_fit_each_config(root, config, mmseg_scope):
    """Pipelines alone; the models are of one kind in all."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    for source in (str(root / 'images/0.png'), cv2.imread(str(root / 'images/0.png'))):
        data, _ = _preprare_data(source, SimpleNamespace(cfg=copy.deepcopy(cfg)))
        assert data['inputs'][0].dtype == torch.uint8
        pipeline = MMSegInferencer._init_pipeline(object.__new__(MMSegInferencer), copy.deepcopy(cfg))
        assert pipeline(source)['inputs'].shape[0] == 3


def test_browse_dataset(root, tool, tmp_path):
    tool('misc/browse_dataset.py', root / 'config.py', '--not-show', '--output-dir', tmp_path / 'drawn')
    assert len(list((tmp_path / 'drawn').rglob('*.png'))) == 6
    cfg = Config.fromfile(root / 'config.py')
    init_default_scope('mmseg')
    assert DATASETS.build(cfg.train_dataloader.dataset).METAINFO['classes'] == ('clutter', 'disk', 'ring', 'cross')


@pytest.mark.skipif(mmseg.__version__ == '1.2.2', reason='its get_flops.py fails in mmengine 0.10.7')
def test_get_flops(root, tool, mmseg_scope):
    printed = tool('analysis_tools/get_flops.py', root / 'config.py', '--shape', 32, 32)
    model = MODELS.build(Config.fromfile(root / 'config.py').model)
    assert f'Params: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.3f}M' in printed


def test_benchmark(root, tool, monkeypatch):
    """It stops after 200 pictures, and knows no figure of fewer."""
    monkeypatch.setattr('torch.utils.data.DataLoader.__iter__', lambda loader: iter([_batch(loader)] * 200))
    monkeypatch.setattr('deepunetto_mm.models.DeepUNetto.predict', lambda model, inputs, samples: samples)
    assert 'Average fps of 1 evaluations' in tool(
        'analysis_tools/benchmark.py', root / 'config.py', root / 'weights.pth'
    )


def _batch(loader):
    return loader.collate_fn([loader.dataset[0]])


def test_confusion_matrix(root, tool, tmp_path):
    shutil.copytree(root / 'masks', tmp_path / 'predicted')
    tool('analysis_tools/confusion_matrix.py', root / 'config.py', tmp_path / 'predicted', tmp_path / 'out')
    assert cv2.imread(str(tmp_path / 'out/confusion_matrix.png')) is not None


def test_analyze_logs(tool, tmp_path, monkeypatch):
    seaborn = ModuleType('seaborn')
    seaborn.set_style = lambda style: None
    if importlib.util.find_spec('seaborn') is None:
        monkeypatch.setitem(sys.modules, 'seaborn', seaborn)
    (tmp_path / 'scalars.json').write_text(
        '{"loss": 0.5, "iter": 1, "step": 1}\n{"mIoU": 40.0, "fine/recognition": 20.0, "step": 1}\n'
    )
    for figure in ('mIoU', 'fine/recognition', 'loss'):
        tool('analysis_tools/analyze_logs.py', tmp_path / 'scalars.json', '--keys', figure, '--out', tmp_path / 'a.png')
        assert cv2.imread(str(tmp_path / 'a.png')) is not None
        (tmp_path / 'a.png').unlink()


@pytest.fixture
def classifier(root, tmp_path):
    """Config and checkpoint of a classifier of mmpretrain over a data set of ours, whose classes are not its names."""
    taxonomy = dict(
        classes=['background', 'shape'], groups=[dict(name='shape', members=['shape'], fine_classes=['a', 'b', 'c'])]
    )
    (root / 'labels.csv').write_text('image,fine_class\n0,a\n1,b\n2,c\n')
    dataset = dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images'),
        img_suffix='.png',
        mask_files=False,
        metainfo=dict(taxonomy=taxonomy),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')],
    )
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='deepunetto_mm.HierarchicalClsHead',
            taxonomy=taxonomy,
            in_channels=64,
            fine_head=dict(type='deepunetto_mm.FineGrainedHead'),
        ),
    )
    cfg = Config(dict(model=model, test_dataloader=dict(dataset=dataset), default_scope='mmpretrain'))
    cfg.dump(tmp_path / 'classifier.py')
    init_default_scope('mmpretrain')
    state = MODELS.build(cfg.model).state_dict()
    meta = dict(dataset_meta=DATASETS.build(dataset).metainfo)
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'classifier.pth')
    return str(tmp_path / 'classifier.py'), str(tmp_path / 'classifier.pth')


def test_mmpretrains_inferencer_names_by_the_fine_classes(root, classifier):
    path = str(root / 'images/0.png')
    (result,) = ImageClassificationInferencer(get_model(*classifier, device='cpu'))(path)
    assert result['pred_class'] == 'abc'[result['pred_label']]
    assert result['pred_scores'].shape == (3,)
