import copy
import io
import json
import pickle
import re

import pytest
import torch
from mmengine.config import ConfigDict

from deepunetto_mm.structures import Group, Taxonomy, TaxonomyError

STREET = dict(
    classes=['road', 'human', 'sky', 'vehicle', 'wheel'],
    groups=[
        dict(name='human', members=['human'], fine_classes=['person', 'rider']),
        dict(name='vehicle', members=['vehicle', 'wheel'], fine_classes=['car', 'truck', 'bus']),
    ],
    ignore_index=255,
)


def _street(**changes):
    return Taxonomy.from_dict(dict(copy.deepcopy(STREET), **changes))


def _group(name='g', members=('human',), fine_classes=('person',)):
    return dict(name=name, members=list(members), fine_classes=list(fine_classes))


def test_label_spaces():
    taxonomy = _street()
    assert taxonomy.stuff_classes == ('road', 'sky')
    assert taxonomy.fine_classes == ('person', 'rider', 'car', 'truck', 'bus')
    assert taxonomy.composed_classes == ('road', 'sky', 'person', 'rider', 'car', 'truck', 'bus')
    assert taxonomy.group_of_class == (-1, 0, -1, 1, 1)
    assert taxonomy.group_of_fine == (0, 0, 1, 1, 1)
    assert taxonomy.composed_of_class == (0, -1, 1, -1, -1)
    assert taxonomy.composed_of_fine == (2, 3, 4, 5, 6)
    assert (taxonomy.children(0), taxonomy.children(1)) == ((0, 1), (2, 3, 4))
    assert taxonomy.fine_index('truck') == taxonomy.fine_index('truck', group=1) == 3


def test_plain_segmentation_has_no_groups():
    taxonomy = Taxonomy.from_dict(dict(classes=['a', 'b']))
    assert taxonomy.groups == taxonomy.fine_classes == taxonomy.composed_of_fine == ()
    assert taxonomy.composed_classes == ('a', 'b')
    assert taxonomy.group_of_class == (-1, -1)
    assert taxonomy.composed_of_class == (0, 1)


def test_no_stuff():
    taxonomy = Taxonomy.from_dict(dict(classes=['human'], groups=[_group()]))
    assert taxonomy.stuff_classes == ()
    assert taxonomy.composed_classes == ('person',)


@pytest.mark.parametrize('way', ['dict', 'json', 'pickle', 'config', 'checkpoint', 'itself'])
def test_round_trip(way):
    taxonomy = _street()
    plain = taxonomy.to_dict()
    assert plain == STREET
    if way == 'json':
        plain = json.loads(json.dumps(plain))
    elif way == 'pickle':
        plain = pickle.loads(pickle.dumps(taxonomy)).to_dict()
    elif way == 'config':
        plain = ConfigDict(copy.deepcopy(plain))
    elif way == 'checkpoint':
        buffer = io.BytesIO()
        torch.save(plain, buffer)
        buffer.seek(0)
        plain = torch.load(buffer, weights_only=True)
    elif way == 'itself':
        plain = taxonomy
    again = Taxonomy.from_dict(plain)
    assert again == taxonomy
    assert hash(again) == hash(taxonomy)
    assert taxonomy.difference(again) == ''


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(classes=[]), 'classes: empty; name at least one'),
    (dict(classes=['road', ''], groups=[]), "classes: '' is not a name"),
    (dict(classes=['road', 3], groups=[]), 'classes: 3 is not a name'),
    (dict(classes='road'), "expected a list of names, got 'road'"),
    (dict(classes=['road', 'road'], groups=[]), "segmentation class listed more than once: ['road']"),
    (dict(groups=[_group(), _group(members=['sky'], fine_classes=['blue'])]), "group listed more than once: ['g']"),
    (dict(groups=[_group(members=[])]), "members of group 'g': empty"),
    (dict(groups=[_group(fine_classes=[])]), "fine_classes of group 'g': empty"),
    (dict(groups=[_group(fine_classes=[None])]), "fine_classes of group 'g': None is not a name"),
    (dict(groups=[dict(_group(), fine_classes='person')]), "expected a list of names, got 'person'"),
    (dict(groups=[_group(members=['humans'])]), "group 'g' has the member 'humans', which is not a segmentation class"),
    (dict(groups=[_group(), _group('h', fine_classes=['rider'])]),
     "segmentation class 'human' is in group 'g' and again in group 'h'"),
    (dict(groups=[_group(members=['human', 'human'])]), "'human' is in group 'g' and again in group 'g'"),
    (dict(groups=[_group(), _group('h', ['sky'])]), "fine or stuff class listed more than once: ['person']"),
    (dict(groups=[_group(fine_classes=['person', 'person'])]), "listed more than once: ['person']"),
    (dict(groups=[_group(fine_classes=['sky'])]), "fine or stuff class listed more than once: ['sky']"),
    (dict(ignore_index=4), 'ignore_index 4 collides with a label: 5 segmentation classes use 0..4; choose another'),
    (dict(ignore_index=0), 'ignore_index 0 collides'),
    (dict(ignore_index='255'), "ignore_index must be an integer, got '255'"),
    (dict(ignore_index=True), 'ignore_index must be an integer, got True'),
    (dict(clases=['road']), "taxonomy: missing keys [], unknown keys ['clases']"),
    (dict(groups=[dict(name='g')]), "group of the taxonomy: missing keys ['fine_classes', 'members']"),
    (dict(groups=['human']), "group of the taxonomy must be a dict, got 'human'"),
    (dict(groups='human'), "groups must be a list of dicts, got 'human'"),
    (dict(groups=None), 'groups must be a list of dicts, got None'),
    (dict(groups=[_group(name=['g'])]), "groups: ['g'] is not a name"),
    (dict(groups=[_group(name='')]), "groups: '' is not a name"),
    (dict(groups=[_group(fine_classes=['\ud800'])]), "fine_classes of group 'g': '\\ud800' is not a name"),
    ({3: [], 'b': 1}, "unknown keys [3, 'b']"),
    (dict(ignore_index=2**63), 'ignore_index does not fit into 64 bits'),
])  # yapf: disable
def test_errors(changes, message):
    _street()
    for _ in range(2):
        with pytest.raises(TaxonomyError, match=re.escape(message)):
            Taxonomy.from_dict({**copy.deepcopy(STREET), **changes})


def test_the_same_content_is_built_once():
    assert _street() is _street(ignore_index=255)
    assert _street() is not _street(ignore_index=254)
    assert pickle.loads(pickle.dumps(_street())) == _street()
    Taxonomy.from_dict(dict(classes=['road', 'sky'], ignore_index=2))
    with pytest.raises(TaxonomyError, match='ignore_index must be an integer, got 2.0'):
        Taxonomy.from_dict(dict(classes=['road', 'sky'], ignore_index=2.0))


def test_other_errors():
    with pytest.raises(TaxonomyError, match='taxonomy must be a dict, got None'):
        Taxonomy.from_dict(None)
    with pytest.raises(TaxonomyError, match=r"missing keys \['classes'\]"):
        Taxonomy.from_dict({})
    taxonomy = _street()
    with pytest.raises(TaxonomyError, match=r"'Car' is not a fine class of the taxonomy, which has \['person'"):
        taxonomy.fine_index('Car')
    with pytest.raises(TaxonomyError, match="group 'human' does not allow the fine class 'car'; it allows .'person'"):
        taxonomy.fine_index('car', group=0)


@pytest.mark.parametrize('ignore_index', [7, -1, -100])
def test_ignore_index_outside_the_labels(ignore_index):
    assert _street(ignore_index=ignore_index).ignore_index == ignore_index


def test_a_fine_class_may_bear_the_name_of_its_member():
    """Cityscapes has the group vehicle and in other data sets the fine class, too; only stuff would be ambiguous."""
    assert _street(groups=[_group(fine_classes=['human'])]).composed_classes[-1] == 'human'


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        _street().classes = ('a',)
    assert Group('g', ('a',), ('b',)) == Group('g', ('a',), ('b',))


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(classes=['road', 'human', 'sea', 'vehicle', 'wheel']), "classes: without ['sky'], with ['sea']"),
    (dict(classes=['road', 'human', 'sky', 'vehicle', 'wheel', 'sea']), "classes: with ['sea']"),
    (dict(classes=['sky', 'human', 'road', 'vehicle', 'wheel']), "classes: order ['road', 'human', 'sky', 'vehicle', "
     "'wheel'] became ['sky', 'human', 'road', 'vehicle', 'wheel']"),
    (dict(groups=STREET['groups'][:1]), "groups: without ['vehicle']"),
    (dict(groups=STREET['groups'][::-1]), "groups: order ['human', 'vehicle'] became ['vehicle', 'human']"),
    (dict(groups=[_group('human', fine_classes=['person']), STREET['groups'][1]]),
     "fine classes of 'human': without ['rider']"),
    (dict(groups=[_group('human', ['human', 'sky'], ['person', 'rider']), STREET['groups'][1]]),
     "members of 'human': with ['sky']"),
    (dict(ignore_index=200), 'ignore_index: 255 became 200'),
])  # yapf: disable
def test_difference(changes, message):
    assert _street().difference(_street(**changes)) == message


def test_several_differences():
    assert _street().difference(_street(groups=[], ignore_index=99)) == (
        "groups: without ['human', 'vehicle']; ignore_index: 255 became 99"
    )


def test_classes_of_equal_name_and_only_children_imply_each_other():
    taxonomy = Taxonomy.from_dict(
        dict(
            classes=['bus', 'road', 'car', 'cytoplasm', 'nucleus', 'human'],
            groups=[
                dict(name='vehicle', members=['car', 'bus'], fine_classes=['bus', 'car', 'train']),
                dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['lymphocyte']),
                dict(name='human', members=['human'], fine_classes=['person', 'rider']),
            ],
        )
    )
    # Fine classes: bus 0, car 1, train 2, lymphocyte 3, person 4, rider 5.
    assert taxonomy.fine_of_class == (0, -1, 1, 3, 3, -1)
    # Composed: road, then the fine classes. No member says train, and two say lymphocyte.
    assert taxonomy.class_of_composed == (1, 0, 2, -1, -1, 5, 5)


def test_many_names_and_ignored_pixels_go_together():
    """Masks name 2 segmentation classes, and 255 in them is free, though 255 is the label of a name."""
    many = dict(name='thing', members=['thing'], fine_classes=[f'kind {n}' for n in range(300)])
    taxonomy = Taxonomy.from_dict(dict(classes=['background', 'thing'], groups=[many]))
    assert (taxonomy.ignore_index, taxonomy.composed_ignore_index) == (255, 32767)
    few = Taxonomy.from_dict(dict(classes=['background', 'thing'], groups=[dict(many, fine_classes=['a', 'b'])]))
    assert (few.ignore_index, few.composed_ignore_index) == (255, 255)
    assert Taxonomy(few.classes, few.groups, ignore_index=2).composed_ignore_index == 32767
    flat = Taxonomy.from_dict(dict(classes=[f'class {n}' for n in range(300)]))
    assert (flat.ignore_index, flat.composed_ignore_index) == (32767, 32767)
    assert Taxonomy.from_dict(dict(classes=['a', 'b'], ignore_index=-1)).composed_ignore_index == -1
    with pytest.raises(TaxonomyError, match='collides with a label: 300 .* such as 32767'):
        Taxonomy.from_dict(dict(classes=[f'class {n}' for n in range(300)], ignore_index=255))
    with pytest.raises(TaxonomyError, match='at most 32767'):
        Taxonomy.from_dict(dict(classes=[f'class {n}' for n in range(40000)]))
