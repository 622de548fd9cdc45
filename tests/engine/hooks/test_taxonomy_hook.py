"""Does the data number its labels as the model does?"""

from types import SimpleNamespace

import pytest
from mmengine.model import BaseTTAModel
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
