from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from deepunetto_mm.planning.fingerprint import (
    PictureFacts,
    find_slips,
    look_at_bits,
    look_at_pictures,
    rare_kind,
    summarise,
)
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError

TAXONOMY = Taxonomy.from_dict(
    dict(classes=['background', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['a', 'b', 'c'])])
)


def _facts(
    name,
    areas,
    fine,
    touching=0,
    mixed=0,
    neighbours=0,
    white=(100, 100, 100),
    size=(100, 50),
    brightest=255.0,
    brightness=100.0,
):
    areas = np.array(areas)
    pixels = np.array([size[0] * size[1] - areas.sum() - 100, areas.sum(), 100])
    groups = np.zeros(len(areas), np.int64)
    return PictureFacts(
        name,
        size,
        name,
        pixels,
        areas,
        np.sqrt(areas),
        groups,
        np.array(fine, np.int64),
        touching,
        mixed,
        neighbours,
        np.array(white),
        0.5,
        brightest,
        brightness,
    )


def test_what_touches_in_a_picture():
    """By hand: 1 and 2 touch, of one kind, 2 and 3, of two; 4 touches nothing; 5, too small, counts for nothing."""
    groups = [
        dict(name='cell', members=['cell'], fine_classes=['round', 'long']),
        dict(name='fibre', members=['fibre'], fine_classes=['thin']),
    ]
    taxonomy = Taxonomy.from_dict(dict(classes=['background', 'cell', 'fibre'], groups=groups))
    region_map = np.array(
        [
            [1, 1, 2, 2, 3, 3],
            [1, 1, 2, 2, 3, 3],
            [0, 0, 0, 0, 0, 5],
            [0, 0, 0, 0, 0, 0],
            [4, 4, 0, 0, 0, 0],
        ]
    )
    classes = np.array([0, 1, 1, 2, 1, 1])
    ids, groups, fine = [1, 2, 3, 4], [0, 0, 1, 0], [0, 1, 2, 0]
    picture = dict(
        img=np.full((5, 6, 3), 90, np.uint8),
        gt_seg_map=classes[region_map],
        gt_region_map=region_map,
        regions=dict(ids=np.array(ids), labels=np.array(groups), fine_labels=np.array(fine)),
    )
    dataset = SimpleNamespace(prepare_data=lambda index: picture)
    (facts,), problems = look_at_pictures(dataset, ['x'], taxonomy)
    assert not problems
    assert (facts.touching, facts.mixed, facts.neighbours) == (2, 2, 3)
    assert facts.areas.tolist() == [4, 4, 4, 2]


def test_the_numbers_of_all_pictures():
    facts = [
        _facts('x', [100, 100, 400], [0, 0, 1], touching=2, mixed=1, neighbours=3, brightest=127.0),
        _facts('y', [400, 500], [1, -1], size=(120, 50)),
        _facts('z', [], []),
    ]
    found = summarise(facts, TAXONOMY, (8, 0, 255))
    assert (found.pictures, found.size, found.sizes) == (3, (100, 50), [(100, 50), (120, 50)])
    assert found.one_size
    assert found.classes['cell'] == pytest.approx(1500 / 15700, abs=1e-6)
    assert (found.regions, found.regions_a_picture, found.most_regions, found.without_region) == (5, 2, 3, 1)
    assert found.area[2] == 400
    assert found.side[2] == 20
    assert found.touching == 2 / 5
    assert found.mixed == 1 / 5
    assert found.neighbours == 3 / 5
    assert found.dim == pytest.approx(1 / 3)
    assert found.unnamed == 1 / 5
    assert found.fine_classes == dict(a=(2, 1, 100.0), b=(2, 2, 400.0), c=(0, 0, 0.0))
    assert found.size_share == pytest.approx(1)
    assert found.tint == 0


def test_the_tint_of_the_white():
    facts = [_facts('x', [10], [0], white=(199, 199, 199)), _facts('y', [10], [0], white=(199, 199, 99))]
    found = summarise(facts, TAXONOMY, (8, 0, 255))
    assert found.tint == pytest.approx(np.log(2) / 2)
    assert found.white == 199


def test_no_region_is_normal():
    found = summarise([_facts('x', [], [])], TAXONOMY, (8, 0, 255))
    assert (found.regions, found.area, found.fine_classes, found.without_region) == (0, [], {}, 1)


def test_bits(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((4, 4), 7, np.uint8))
    assert look_at_bits([str(tmp_path / 'a.png')]) == (8, 0.0, 255.0)
    cv2.imwrite(str(tmp_path / 'b.png'), np.array([[100, 4095]], np.uint16))
    bits, low, high = look_at_bits([str(tmp_path / 'b.png')])
    assert bits == 16
    assert (low, high) == pytest.approx((104, 4091), abs=1)
    cv2.imwrite(str(tmp_path / 'c.tif'), np.array([[np.nan, np.inf, 3]], np.float32))
    assert look_at_bits([str(tmp_path / 'c.tif')]) == (32, 3, 4)
    with pytest.raises(DataError, match=r'a\.png has 8 bits, and .*b\.png 16: one range of values'):
        look_at_bits([str(tmp_path / 'b.png'), str(tmp_path / 'a.png')])


@pytest.mark.parametrize(('many', 'few'), [(16, 8), (8, 16)])
def test_one_picture_of_other_bits_among_many(tmp_path, many, few):
    for number in range(100):
        values = np.full((4, 4), 7, np.uint8 if (few if number == 97 else many) == 8 else np.uint16)
        cv2.imwrite(str(tmp_path / f'{number:02}.png'), values)
    (tmp_path / '55.png').write_bytes(b'')  # an error of its own, later
    paths = [str(tmp_path / f'{number:02}.png') for number in range(100)]
    with pytest.raises(DataError, match='one range of values is read for all pictures; save all alike') as raised:
        look_at_bits(paths)
    assert f'97.png {"has 8 bits" if few == 8 else "16:"}' in str(raised.value)
    assert look_at_bits([path for path in paths if '97' not in path])[0] == many


def test_names_with_a_slip():
    counts = dict(neutrophil=40, Neutrophil=2, neutrophill=1, monocyte=30, lymphocyte=20, cell_1=1, cell_2=9)
    assert find_slips(counts) == [('neutrophill', 'neutrophil', False), ('Neutrophil', 'neutrophil', True)]
    assert find_slips({'t-shirt': 5, 't shirt': 5, 'shirt': 4}) == [('t-shirt', 't shirt', True)]
    assert not find_slips(dict(top=5, tops=4, cap=1, cape=3))
    assert find_slips({'T cell': 5, 't-cell': 4, 'T_cell': 1}) == [
        ('T_cell', 'T cell', True),
        ('t-cell', 'T cell', True),
    ]
    assert find_slips({'K1_1': 5, 'K1 1': 4}) == [('K1 1', 'K1_1', True)]
    assert find_slips({'grade__2': 5, 'Grade2': 4, '2 b': 3, '2b': 2}) == [
        ('2b', '2 b', True),
        ('Grade2', 'grade__2', True),
    ]
    for one, other in (
        ('CD4+', 'CD4-'),
        ('HER2 +', 'HER2 -'),
        ('grade 1-2', 'grade 12'),
        ('<20', '>20'),
        ('K11', 'K1_1'),
    ):
        assert not find_slips({one: 5, other: 4})


@pytest.mark.parametrize(
    ('levels', 'rare'),
    [
        ([10] * 10 + [200, 201, 202, 203], {200, 201, 202, 203}),
        ([200] * 10 + [10, 11, 12, 13], {10, 11, 12, 13}),
        ([10] * 10 + [200, 201, 202], set()),  # few
        ([10] * 5 + [200] * 4, set()),  # nearly as many
        ([10] * 10 + [80, 81, 82, 83], set()),  # close
        (list(range(0, 240, 10)), set()),  # not two kinds
        ([10], set()),
    ],
)
def test_the_rarer_of_two_kinds_of_pictures(levels, rare):
    facts = [_facts(str(i), [9], [0], brightness=level) for i, level in enumerate(levels)]
    assert {item.brightness for item in rare_kind(facts)} == rare
