"""Does the data number its labels as the model does?"""

from types import SimpleNamespace

import pytest
from mmengine.model import BaseTTAModel
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import METRICS, TRANSFORMS
from torch import nn

from deepunetto_mm.engine import TaxonomyHook
from deepunetto_mm.structures import Taxonomy, TaxonomyError

TAXONOMY = dict(
    classes=['background', 'cytoplasm', 'nucleus'],
    groups=[dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['basophil', 'monocyte'])],
)
OTHER = dict(TAXONOMY, groups=[dict(TAXONOMY['groups'][0], fine_classes=['monocyte', 'basophil'])])


class Model(nn.Module):
    def __init__(self, taxonomy):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.taxonomy = taxonomy and Taxonomy.from_dict(taxonomy)

    def test_step(self, data):
        raise AssertionError('not to be called')


class TTAModel(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise AssertionError('not to be called')


class Cells:
    def __init__(self, metainfo):
        self.metainfo = metainfo


def make_runner(model, train=None, val=None, test=None):
    loaders = {
        f'{split}_dataloader': SimpleNamespace(dataset=Cells(metainfo))
        for split, metainfo in (('train', train), ('val', val), ('test', test))
    }
    return SimpleNamespace(model=model, val_loop=None if val is None else object(), **loaders)


pytestmark = pytest.mark.usefixtures('mmseg_scope')
GOOD, BAD = dict(taxonomy=TAXONOMY), dict(taxonomy=OTHER)


def test_passes_where_both_agree():
    runner = make_runner(Model(TAXONOMY), GOOD, GOOD, GOOD)
    hook = TaxonomyHook()
    hook.before_train(runner)
    hook.before_val(runner)
    hook.before_test(runner)


@pytest.mark.parametrize(
    ('stage', 'split'),
    [('before_train', 'train'), ('before_val', 'val'), ('before_test', 'test'), ('before_train', 'val')],
)
def test_names_the_data_and_what_differs(stage, split):
    runner = make_runner(Model(TAXONOMY), **{**dict(train=GOOD, val=GOOD, test=GOOD), split: BAD})
    with pytest.raises(TaxonomyError) as error:
        getattr(TaxonomyHook(), stage)(runner)
    assert str(error.value).startswith(f'Cells ({split} data) does not match the model')
    assert "fine classes of 'cell': order ['basophil', 'monocyte'] became ['monocyte', 'basophil']" in str(error.value)


def test_training_without_validation():
    TaxonomyHook().before_train(make_runner(Model(TAXONOMY), train=GOOD))


@pytest.mark.parametrize('wrap', [nn.DataParallel, lambda model: TTAModel(module=model)])
def test_looks_into_wrapped_models(wrap):
    with pytest.raises(TaxonomyError):
        TaxonomyHook().before_test(make_runner(wrap(Model(TAXONOMY)), test=BAD))


def test_data_without_taxonomy_is_compared_by_its_classes():
    hook = TaxonomyHook()
    hook.before_test(make_runner(Model(TAXONOMY), test=dict(classes=('background', 'cytoplasm', 'nucleus'))))
    hook.before_test(make_runner(Model(TAXONOMY), test={}))
    with pytest.raises(TaxonomyError, match=r"classes: .* became \['background', 'nucleus', 'cytoplasm'\]"):
        hook.before_test(make_runner(Model(TAXONOMY), test=dict(classes=('background', 'nucleus', 'cytoplasm'))))


@pytest.mark.parametrize('model', [Model(None), nn.Linear(1, 1)])
def test_models_without_taxonomy_pass(model):
    TaxonomyHook().before_test(make_runner(model, test=BAD))


def test_the_head_of_a_classifier_may_have_the_taxonomy():
    model = nn.Module()
    model.head = Model(TAXONOMY)
    TaxonomyHook().before_test(make_runner(model, test=GOOD))
    with pytest.raises(TaxonomyError, match='test data'):
        TaxonomyHook().before_test(make_runner(model, test=BAD))


@pytest.mark.parametrize('metainfo', [{}, GOOD], ids=['classes alone', 'with a taxonomy'])
def test_folders_of_a_classifier_are_numbered_as_its_names(metainfo):
    model = nn.Module()
    model.head = Model(TAXONOMY)
    TaxonomyHook().before_test(make_runner(model, test=dict(metainfo, classes=('basophil', 'monocyte'))))
    with pytest.raises(TaxonomyError, match=r"fine classes: \['basophil', 'monocyte'\] became \['monocyte', 'bas"):
        TaxonomyHook().before_test(make_runner(model, test=dict(metainfo, classes=('monocyte', 'basophil'))))


def _evaluated(metrics=(), transforms=(), model=None):
    """A runner whose data ignore the label 200, with metrics and transforms of mmseg."""
    runner = make_runner(model or Model(None), dict(taxonomy=dict(TAXONOMY, ignore_index=200)))
    pipeline = SimpleNamespace(transforms=[TRANSFORMS.build(item) for item in transforms])
    runner.train_dataloader.dataset.pipeline = pipeline
    runner.train_evaluator = SimpleNamespace(metrics=[METRICS.build(item) for item in metrics])
    return runner


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(metrics=[dict(type='mmseg.IoUMetric')]), 'IoUMetric of train_evaluator has ignore_index=255, the datas'),
        (
            dict(transforms=[dict(type='mmseg.RandomRotate', prob=1.0, degree=9, seg_pad_val=255)]),
            'RandomRotate of the pipeline of the train data has seg_pad_val=255',
        ),
        (
            dict(transforms=[dict(type='mmcv.Pad', size=(8, 8), pad_val=dict(img=0, seg=255))]),
            'Pad of the pipeline of the train data has pad_val=255',
        ),
    ],
)
def test_another_label_of_ignored_pixels_is_told_before_training(parts, message):
    with pytest.raises(ValueError, match=message):
        TaxonomyHook().before_train(_evaluated(**parts))


def test_parts_with_the_same_label_or_none_pass():
    transforms = [
        dict(type='mmseg.RandomRotate', prob=1.0, degree=9, seg_pad_val=200),
        dict(type='mmcv.Pad', size=(8, 8), pad_val=dict(img=0, seg=200)),
        dict(type='mmcv.RandomFlip', prob=0.5),
    ]
    TaxonomyHook().before_train(_evaluated([dict(type='mmseg.IoUMetric', ignore_index=200)], transforms))


def _head(**options):
    options = dict(type='CrossEntropyLoss', **options)
    return FCNHead(in_channels=2, channels=2, num_classes=3, loss_decode=[options], ignore_index=200)


def test_heads_of_mmsegs_models_are_checked():
    model = nn.Module()
    model.decode_head, model.auxiliary_head = _head(class_weight=[1.0, 2.0, 3.0]), nn.ModuleList([_head(), _head()])
    TaxonomyHook().before_train(_evaluated(model=model))
    model.auxiliary_head[1] = _head(class_weight=[1.0] * 4)
    message = r'model\.auxiliary_head\[1\]\.loss_decode: class_weight of .* the 3 classes .*, got 4'
    with pytest.raises(ValueError, match=message):
        TaxonomyHook().before_train(_evaluated(model=model))
    model.auxiliary_head[1] = FCNHead(in_channels=2, channels=2, num_classes=3)
    with pytest.raises(ValueError, match=r'model\.auxiliary_head\[1\]\.ignore_index is 255, .* 200'):
        TaxonomyHook().before_train(_evaluated(model=model))
