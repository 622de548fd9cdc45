import pytest
import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.fine.segmentation_names import SegmentationNames, require_own_classes
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.structures.maps import Maps

PETS = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat', 'car'],
        groups=[
            dict(name='animal', members=['dog', 'cat'], fine_classes=['cat', 'dog']),
            dict(name='vehicle', members=['car'], fine_classes=['car']),
        ],
    )
)
# Two pixels of region 3; the third is outside.
REGION_MAP = torch.tensor([[3, 3, 0]])
REGIONS = InstanceData(ids=torch.tensor([3]), labels=torch.tensor([0]))


def _predict(names, maps, regions=REGIONS):
    (scores,) = names.predict(None, [regions], [REGION_MAP], [maps])
    return scores


def test_by_the_mean_probability_of_the_classes_of_the_group():
    # Of dog 0.5 and 0.3, of cat 0.1 and 0.3; the car's 0.4 is of another group.
    probs = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.3, 0.0], [0.1, 0.3, 0.0], [0.4, 0.4, 0.0]])
    maps = Maps({'logits': probs.log()[None, :, None]}, {'logits': 'logits'}, PETS)
    torch.testing.assert_close(_predict(SegmentationNames(PETS), maps), torch.tensor([[1 / 3, 2 / 3, 0.0]]))


def test_by_the_mean_log_probability_of_a_map_of_names():
    # cat 0.8 and 0.2, dog 0.2 and 0.8 would be equal; with 0.5 in place of 0.2 and 0.8 the cat has twice the odds:
    # the geometric mean of 4 and 1.
    logits = torch.tensor([[0.8, 0.5, 0.1], [0.2, 0.5, 0.9], [1.0, 1.0, 1.0]]).log()
    maps = Maps({'names.logits': logits[None, :, None]}, {'names.logits': 'logits'}, PETS)
    scores = _predict(SegmentationNames(PETS, 'names.logits'), maps)
    torch.testing.assert_close(scores, torch.tensor([[2 / 3, 1 / 3, 0.0]]))


def test_among_the_names_of_all_groups():
    # Geometric means of 0.9 and 0.4, and of 0.1 and 0.6, times the 0.6 of animals; the one vehicle has 0.3.
    expected = [0.6 * 0.6, 0.6 * 0.06**0.5, 0.3]
    logits = torch.tensor([[0.9, 0.4, 0.1], [0.1, 0.6, 0.9], [1.0, 1.0, 1.0]]).log()
    maps = Maps({'names.logits': logits[None, :, None]}, {'names.logits': 'logits'}, PETS)
    regions = InstanceData(ids=torch.tensor([3]), labels=torch.tensor([0]), group_probs=torch.tensor([[0.6, 0.3]]))
    names = SegmentationNames(PETS, 'names.logits', 'soft')
    scores = _predict(names, maps, regions)
    torch.testing.assert_close(scores, torch.tensor([expected]))
    assert _predict(names, maps, regions[:0]).shape == (0, 3)
    for source, condition in (('logits', 'soft'), ('names.logits', 'flat')):
        with pytest.raises(ValueError, match=f"got '{condition}' by '{source}'"):
            SegmentationNames(PETS, source, condition)


def test_no_region():
    maps = Maps({'logits': torch.rand(1, 4, 1, 3)}, {'logits': 'logits'}, PETS)
    none = InstanceData(ids=torch.zeros(0, dtype=torch.long), labels=torch.zeros(0, dtype=torch.long))
    assert _predict(SegmentationNames(PETS), maps, none).shape == (0, 3)


def test_a_map_with_other_channels_is_named():
    maps = Maps({'names.logits': torch.zeros(1, 2, 1, 3)}, {'names.logits': 'logits'}, PETS)
    with pytest.raises(ValueError, match="region_names='names.logits' has 2 channels; .* each of the 3 fine classes"):
        _predict(SegmentationNames(PETS, 'names.logits'), maps)


def test_each_fine_class_needs_a_class_of_its_own():
    taxonomy = Taxonomy.from_dict(
        dict(classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer'])])
    )
    with pytest.raises(TaxonomyError, match='need a segmentation class for each fine class'):
        require_own_classes(taxonomy)
    assert SegmentationNames(taxonomy, 'names.logits').allowed.tolist() == [[True, True]]
