"""The pictures of a page, without its server."""

import numpy as np
import pytest

pytest.importorskip('fastapi')

from deepunetto_mm.structures import TaxonomyError
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.web import Gallery, Limits
from deepunetto_mm.web.gallery import FullError


@pytest.fixture
def gallery(make_model):
    return Gallery(make_model())


def test_a_correction_changes_name_and_group_and_a_dropped_region_is_not_kept(gallery, png, picture):
    taxonomy = gallery.model.taxonomy
    added = gallery.add('a.png', png(picture))
    assert gallery.correct(1, 1, dict(fine_class='rod'))['corrected'] == 'rod'
    (first, second) = added.kept(taxonomy)
    assert (first['group'], first['fine_class'], first['predicted']) == ('rod', 'rod', 'red bead')
    assert (second['group'], second['fine_class'], second['predicted']) == ('rod', 'rod', 'rod')
    assert (
        gallery.correct(1, 1, dict(fine_class='red bead', dropped=True))['corrected'] is None
    )  # the predicted name is no correction
    assert [region['id'] for region in added.kept(taxonomy)] == [2]


def test_pictures_keep_their_order_and_numbers(gallery, png, picture):
    for name in ('a.png', 'b.png', 'c.png'):
        gallery.add(name, png(picture))
    gallery.remove(2)
    assert [(one.id, one.name) for one in gallery.pictures] == [(1, 'a.png'), (3, 'c.png')]
    assert gallery.add('d.png', png(picture)).id == 4
    with pytest.raises(KeyError, match='no longer has this picture'):
        gallery.remove(2)


def test_a_picture_without_regions_is_one(gallery):
    added = gallery.add_array('black.png', np.zeros((5, 7, 3), np.uint8))
    assert added.describe()['regions'] == []
    assert added.region_map.dtype == np.uint16
    assert not added.region_map.any()


def test_what_is_not_changed_stays(gallery, png, picture):
    gallery.add('a.png', png(picture))
    for changes, expected in (
        (dict(fine_class='rod'), ('rod', False)),
        (dict(dropped=True), ('rod', True)),
        (dict(fine_class='blue bead'), ('blue bead', True)),
        (dict(fine_class=None, dropped=False), (None, False)),
        ({}, (None, False)),
    ):
        region = gallery.correct(1, 1, changes)
        assert (region['corrected'], region['dropped']) == expected


def test_maps_of_flat_pictures_take_room_too(make_model):
    gallery = Gallery(make_model(), Limits(held=10_000))
    flat = gallery.add_array('flat.png', np.zeros((1000, 1000, 3), np.uint8))
    assert 2 * 1000 < flat.held - len(flat.png) < 100_000  # of 4 MB
    assert flat.labels.shape == flat.region_map.shape == (1000, 1000)
    with pytest.raises(FullError, match=r'no room for b\.png'):
        gallery.add_array('b.png', np.zeros((5, 7, 3), np.uint8))


def test_names_that_are_not_utf8_can_be_sent(gallery, png, picture):
    added = gallery.add('Gr\udcfc.png', png(picture))
    assert (added.name, added.stem) == ('Gr?.png', 'Gr')


def test_refusals_name_the_picture_and_hold_nothing(make_model, png, picture):
    content = png(picture)
    gallery = Gallery(make_model(), Limits(pixels=47, held=len(content)))
    with pytest.raises(DataError, match=r'a\.png has 8x6 pixels; the page shows at most'):
        gallery.add('a.png', content)
    with pytest.raises(DataError, match=r'a\.txt is not a picture by its name'):
        gallery.add('a.txt', content)
    with pytest.raises(DataError, match=r'^bad\.png'):
        gallery.add('bad.png', content[:40])
    gallery.add_array('b.png', picture)
    with pytest.raises(FullError, match=r'no room for c\.png'):
        gallery.add_array('c.png', picture)
    assert [one.name for one in gallery.pictures] == ['b.png']
    with pytest.raises(TaxonomyError):
        gallery.correct(1, 1, dict(fine_class='pebble'))
    with pytest.raises(KeyError, match=r'b\.png has no region 9'):
        gallery.correct(1, 9, dict(fine_class=None))
