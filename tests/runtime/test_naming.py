"""Names by hand, on arrays."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.fine.composing import write_regions
from deepunetto_mm.models.fine.segmentation_names import SegmentationNames
from deepunetto_mm.runtime.naming import Pixels, compose, describe_regions, named_labels, scores_of_pixels, softmax
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat', 'cow'],
        groups=[
            dict(name='pet', members=['dog', 'cat'], fine_classes=['dog', 'cat']),
            dict(name='cattle', members=['cow'], fine_classes=['cow']),
        ],
    )
)
REGION_MAP = np.array([[7, 7, 0], [3, 0, 3]], np.int32)
IDS, GROUPS = np.array([3, 7]), np.array([0, 1])


def test_softmax_of_any_logits():
    logits = np.array([[0, 900, -np.inf], [np.log(3), 900, -900]])
    np.testing.assert_allclose(softmax(logits, 0), [[0.25, 0.5, 0], [0.75, 0.5, 1]], rtol=1e-12)
    np.testing.assert_allclose(softmax(logits, 1)[1], [0, 1, 0], atol=1e-12)


def test_means_over_regions():
    values = np.array([[[1.0, 2, 9], [4, 9, 5]], [[0, 0, 9], [1, 9, 0]]], np.float32)
    means = Pixels(REGION_MAP, IDS).means(values)
    assert (means.tolist(), means.dtype) == ([[4.5, 0.5], [1.5, 0]], np.float32)
    assert Pixels(np.zeros((2, 2), np.int32), np.zeros(0, int)).means(values[:, :, :2]).shape == (0, 2)


@pytest.mark.parametrize(('source', 'condition'), [('class_probs', 'hard'), ('logits', 'hard'), ('logits', 'soft')])
def test_scores_of_pixels_are_those_of_the_network(source, condition):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 3 if source == 'logits' else 4, 2, 3, generator=generator)
    ours = (maps if source == 'logits' else maps.softmax(1)[:, 1:])[0].numpy()
    probs = np.array([[0.5, 0.2], [0.1, 0.6]], np.float32)
    given = probs if condition == 'soft' else None
    scores = scores_of_pixels(Pixels(REGION_MAP, IDS).means(ours), GROUPS, TAXONOMY, source, given)
    names = SegmentationNames(TAXONOMY, 'names.logits' if source == 'logits' else 'logits', condition)
    regions = InstanceData(
        ids=torch.from_numpy(IDS), labels=torch.from_numpy(GROUPS), group_probs=torch.from_numpy(probs)
    )
    name = names.source
    (expected,) = names.predict(
        None, [regions], [torch.from_numpy(REGION_MAP)], [Maps({name: maps}, {name: 'logits'}, TAXONOMY)]
    )
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert (scores[0, 2] == scores[1, 0] == 0) == (condition == 'hard')
    none, of_none = np.zeros((0, 3), np.float32), given if given is None else given[:0]
    assert scores_of_pixels(none, np.zeros(0, int), TAXONOMY, source, of_none).shape == (0, 3)


def test_named_labels_are_those_of_the_network():
    labels, logits = torch.tensor([[[0, 1, 2], [3, 3, 1]]]), torch.randn(1, 3, 2, 3)
    ours = named_labels(labels[0].numpy(), logits[0].numpy(), TAXONOMY)
    theirs = Maps.known(TAXONOMY, {'names.logits': logits}, {'names.logits': 'logits'}, labels)
    np.testing.assert_array_equal(ours, theirs.named_labels('names.logits')[0])


@pytest.mark.parametrize('vote', [False, True])
def test_composed_labels_are_those_of_the_network(vote):
    generator = torch.Generator().manual_seed(1)
    probs = torch.rand(3, 2, 3, generator=generator)
    probs[:, 0, 1] = torch.tensor([0.0, 0.0, 1.0])  # which the names of the region's group do not have
    scores = torch.tensor([[0.4, 0.6, 0.0], [0.4, 0.3, 0.3]])
    outside = np.full((2, 3), 255, np.int32)
    composed = compose(outside, Pixels(REGION_MAP, IDS), scores.numpy(), TAXONOMY, probs.numpy() if vote else None)
    expected = torch.from_numpy(outside.copy())
    regions = InstanceData(ids=torch.from_numpy(IDS), fine_labels=scores.argmax(1), fine_scores=scores)
    write_regions(expected, torch.from_numpy(REGION_MAP), regions, TAXONOMY, probs if vote else None)
    assert composed.tolist() == expected.tolist()
    assert composed[0, 1] == 1
    if not vote:
        assert composed.tolist() == [[1, 1, 255], [2, 255, 2]]


def test_ties_go_to_the_first():
    regions = dict(
        ids=np.array([3]),
        labels=np.array([0]),
        bboxes=np.array([[0, 1, 3, 2]], np.float32),
        areas=np.array([2]),
        scores=np.array([1.0]),
        fine_labels=np.array([0]),
        fine_scores=np.array([[0.4, 0.4, 0.2]]),
    )
    (region,) = describe_regions(regions, REGION_MAP, TAXONOMY, 2)
    assert [item['fine_class'] for item in region['top_k']] == ['dog', 'cat']
