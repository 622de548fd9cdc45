"""Names and colours of labels."""

import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.visualization.drawing import distinct_colours
from deepunetto_mm.visualization.label_names import LabelNames

TAXONOMY = dict(
    classes=['sky', 'petal', 'leaf'],
    groups=[
        dict(name='flower', members=['petal'], fine_classes=['rose', 'daisy']),
        dict(name='plant', members=['leaf'], fine_classes=['fern']),
    ],
)


def _regions(**fields):
    return InstanceData(labels=torch.tensor([0, 1, 0]), **fields)


def test_predicted_regions_have_their_fine_score():
    names = LabelNames.from_meta(dict(taxonomy=TAXONOMY))
    scores = torch.tensor([[0.125, 0.75, 0.125], [0, 0.004, 0.996], [0.6, 0.4, 0]])
    regions = _regions(fine_labels=torch.tensor([1, 2, 0]), fine_scores=scores, scores=torch.tensor([0.3, 0.3, 0.3]))
    fine_names, colours, texts = names.describe(regions)
    assert fine_names == ['daisy', 'fern', 'rose']
    assert texts == ['daisy 0.75', 'fern 1.00', 'rose 0.60']
    palette = distinct_colours(3)
    assert colours == [palette[1], palette[2], palette[0]]


def test_annotated_regions_have_no_score_and_unknown_ones_their_group():
    names = LabelNames.from_meta(dict(taxonomy=TAXONOMY))
    fine_names, colours, texts = names.describe(_regions(fine_labels=torch.tensor([0, -1, -1])))
    assert fine_names == texts == ['rose', 'plant', 'flower']
    assert colours == [distinct_colours(1)[0], (200, 200, 200), (200, 200, 200)]


def test_regions_without_fine_labels_have_their_group_and_its_score():
    names = LabelNames.from_meta(dict(taxonomy=TAXONOMY))
    regions = _regions(scores=torch.tensor([0.5, 0.25, 1]))
    assert names.describe(regions)[2] == ['flower 0.50', 'plant 0.25', 'flower 1.00']


def test_numbers_stand_in_for_missing_names():
    names = LabelNames.from_meta(None)
    regions = _regions(fine_labels=torch.tensor([4, -1, 0]))
    assert names.describe(regions)[0] == ['fine class 4', 'group 1', 'fine class 0']


def test_palettes_of_the_dataset_are_taken():
    fine_palette = [[255, 0, 0], [255, 255, 255], [0, 99, 0]]
    meta = dict(taxonomy=TAXONOMY, palette=[[0, 0, 0], [1, 2, 3], [4, 5, 6]], fine_palette=fine_palette)
    names = LabelNames.from_meta(meta)
    assert names.classes == ('sky', 'petal', 'leaf')
    assert names.palette == ((0, 0, 0), (1, 2, 3), (4, 5, 6))
    regions = _regions(fine_labels=torch.tensor([0, 2, -1]))
    assert names.describe(regions)[1] == [(255, 0, 0), (0, 99, 0), (200, 200, 200)]


@pytest.mark.parametrize('key', ['palette', 'fine_palette'])
def test_palette_of_another_length(key):
    with pytest.raises(ValueError, match=f"2 colours in its '{key}' for 3 classes"):
        LabelNames.from_meta({'taxonomy': TAXONOMY, key: [[0, 0, 0], [1, 1, 1]]})


def test_without_a_palette_the_background_is_black_and_the_others_keep_their_colours():
    names = LabelNames.from_meta(dict(classes=['cell', 'Background', 'vessel']))
    bright = distinct_colours(3)
    assert names.palette == (bright[0], (0, 0, 0), bright[2])
