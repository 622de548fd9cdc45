import base64
import re

import cv2
import numpy as np
import pytest

from deepunetto_mm.planning.fingerprint import PictureFacts, summarise
from deepunetto_mm.planning.page import choose_pictures, draw, histogram, plan_page
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.visualization.label_names import LabelNames

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['background', 'cell'],
        groups=[dict(name='cell', members=['cell'], fine_classes=['<b>round</b>', 'long'])],
    )
)


def _facts(name, fine):
    number = len(fine)
    pixels = np.array([100, 9 * number, 0])
    areas, sides = np.full(number, 9), np.full(number, 3)
    groups, white = np.zeros(number, int), np.full(3, 200.0)
    return PictureFacts(
        name, (12, 10), name, pixels, areas, sides, groups, np.array(fine, int), 0, 0, 0, white, 1.0, 255.0, 200.0
    )


def _results(fine=(0,)):
    """12x10 pixels of grey, with a square of 6x6 in the upper left corner."""
    regions = np.zeros((10, 12), np.int32)
    regions[:6, :6] = 1
    table = dict(ids=np.array([1]), labels=np.array([0]), fine_labels=np.array(fine))
    return dict(
        img=np.full((10, 12, 3), 100.0), gt_seg_map=(regions > 0).astype(np.uint8), gt_region_map=regions, regions=table
    )


def test_bins_double():
    assert [(row[0], row[2]) for row in histogram(np.array([0, 1, 2, 3, 3.5, 4, 9]))] == [
        ('0', '1'), ('1', '1'), ('2 to 3', '3'), ('4 to 7', '1'), ('8 to 15', '1'),
    ]  # fmt: skip
    assert [row[0] for row in histogram(np.array([20, 40]))] == ['16 to 31', '32 to 63']


def test_rare_names_are_shown():
    facts = [_facts(f'{i:02}', [0] if i != 37 else [0, 1]) for i in range(60)]
    chosen = [item.name for item in choose_pictures(facts, TAXONOMY, most=4)]
    assert chosen == ['00', '20', '37', '39']


def test_a_picture_is_tinted_and_outlined():
    names = LabelNames(TAXONOMY.classes, ((0, 0, 0), (200, 0, 0)), ((0, 255, 0), (0, 0, 255)), TAXONOMY)
    drawn = draw(_results(), names, side=12)
    assert drawn.shape == (10, 12, 3)
    assert drawn[8, 8].tolist() == [100, 100, 100]
    assert drawn[3, 3].tolist() == [135, 65, 65]  # 0.65 of the grey and 0.35 of the tint
    assert drawn[0, 3].tolist() == drawn[5, 5].tolist() == [0, 255, 0]
    assert draw(_results((-1,)), names, side=12)[0, 3].tolist() == [200, 200, 200]
    assert draw(_results(), names, side=240).shape == (200, 240, 3)


@pytest.mark.parametrize('objects', [True, False])
def test_the_page_loads_nothing_and_escapes_names(objects):
    facts = [_facts('a&b', [0, 0, -1] if objects else []), _facts('c', [1] if objects else [])]
    splits = {'a&b': 'train', 'c': 'val'}
    data = summarise(facts, TAXONOMY, (8, 0.0, 255.0))
    page = plan_page('cells <1>', 'min area < 3', facts, splits, data, TAXONOMY, lambda name: _results())
    assert '<title>cells &lt;1&gt;</title>' in page
    assert 'min area &lt; 3' in page
    assert '<b>round' not in page
    assert not re.search(r'https?:|<script|<link|url\(', page)
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 2
    for source in sources:
        content = base64.b64decode(source.removeprefix('data:image/jpeg;base64,'))
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (250, 300, 3)
    if objects:
        assert '<figcaption>a&amp;b (train): 2 &lt;b&gt;round&lt;/b&gt;, 1 no name</figcaption>' in page
        assert '<td>long<td class="number">1<td>' in page
        # The widest bar has 180 pixels: two objects of the first name, trained on.
        assert '<span class="bar train" style="width: 180.0px">' in page
        assert '<span class="bar val" style="width: 90.0px">' in page
    else:
        assert '<figcaption>c (val)</figcaption>' in page
