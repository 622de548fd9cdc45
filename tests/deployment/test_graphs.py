"""What graphs do on their own."""

import cv2
import numpy as np
import pytest
import torch

from deepunetto_mm.datasets.transforms import ChromaticAdaptation
from deepunetto_mm.deployment.graphs import _components, _numbered, _outside, adapted
from deepunetto_mm.models import ConnectedComponentsProposer
from deepunetto_mm.ops import connected_regions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps


@pytest.mark.parametrize('percentile', [50.0, 95.0, 100.0])
def test_the_adaptation_is_the_transforms(percentile):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, high, (7, 9, 3), dtype=np.uint8) for high in (1, 2, 40, 200, 256)]
    pictures.append(np.arange(256, dtype=np.uint8).repeat(3)[: 7 * 9 * 3].reshape(7, 9, 3))
    found = adapted(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), percentile)
    for picture, planes in zip(pictures, found):
        expected = ChromaticAdaptation(percentile).transform(dict(img=picture))['img']
        np.testing.assert_array_equal(planes.permute(1, 2, 0), expected)


def test_outside_of_regions_are_the_networks_labels_also_where_probabilities_underflow():
    """Composed: sky 0, grass 1. Of two dogs beyond doubt the second logit of stuff is the larger one, once each."""
    groups = [dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer'])]
    taxonomy = Taxonomy.from_dict(dict(classes=['sky', 'dog', 'grass'], groups=groups))
    logits = torch.tensor([[-50.0, 200, -20], [-20, 200, -50], [1, 0, 0], [0, 0, 1]]).T[None, :, None]
    maps = Maps(dict(logits=logits), dict(logits='logits'), taxonomy)
    assert maps.class_probs[0, :, 0, :2].T.tolist() == [[0, 1, 0]] * 2
    assert _outside(maps).tolist() == maps.outside.tolist() == [[[1, 0, 0, 1]]]


@pytest.mark.parametrize('connectivity', [4, 8])
def test_components_are_opencvs(connectivity):
    codes = np.random.default_rng(0).integers(0, 3, (23, 31), dtype=np.int64)
    codes[5:9] = np.arange(31) % 2  # stripes
    found = _components(torch.from_numpy(codes), connectivity).numpy()
    for code in (1, 2):
        count, expected = cv2.connectedComponents((codes == code).astype(np.uint8), connectivity=connectivity)
        assert count > 10
        for number in range(1, count):
            assert set(found[expected == number]) == {np.flatnonzero(expected.ravel() == number)[0]}


@pytest.mark.parametrize('by_class', [False, True])
@pytest.mark.parametrize('min_area', [4, [3, 6]], ids=str)
def test_regions_are_those_of_the_proposer(min_area, by_class):
    taxonomy = dict(
        classes=['sky', 'cytoplasm', 'nucleus', 'dog'],
        groups=[
            dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['a', 'b']),
            dict(name='dog', members=['dog'], fine_classes=['poodle']),
        ],
    )
    proposer = ConnectedComponentsProposer(taxonomy, min_area=min_area, by_class=by_class)
    labels = np.random.default_rng(0).choice(4, (23, 31), p=[0.4, 0.2, 0.2, 0.2])
    groups = np.array(proposer.taxonomy.group_of_class)
    expected = connected_regions(labels, groups, 8, proposer.min_area, by_class=by_class)
    assert len(expected) > 5
    codes = (labels + 1) * (groups[labels] >= 0) if by_class else groups[labels] + 1
    numbers, firsts = _numbered(torch.from_numpy(codes), proposer)
    np.testing.assert_array_equal(numbers, expected.region_map)
    np.testing.assert_array_equal(groups[labels.ravel()[firsts]], expected.labels)
