import torch
from mmengine.structures import InstanceData

from deepunetto_mm.models.regions.composing import compose_labels
from deepunetto_mm.structures import Taxonomy

# Composed: grass 0, sky 1, poodle 2, boxer 3, tabby 4.
PETS = Taxonomy.from_dict(
    dict(
        classes=['grass', 'dog', 'cat', 'sky'],
        groups=[
            dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
            dict(name='cat', members=['cat'], fine_classes=['tabby']),
        ],
    )
)
GRASS, DOG, CAT, SKY = range(4)


def _regions(ids, fine_labels):
    scores = torch.nn.functional.one_hot(torch.tensor(fine_labels, dtype=torch.long), 3).float()
    return InstanceData(ids=torch.tensor(ids), fine_labels=scores.argmax(1), fine_scores=scores)


def test_stuff_names_and_what_is_in_no_region():
    labels = torch.tensor([[GRASS, DOG, DOG, SKY], [DOG, CAT, CAT, GRASS]])
    region_map = torch.tensor([[0, 300, 300, 0], [0, 7, 0, 0]])
    probs = torch.full((4, 2, 4), 0.1)
    probs[SKY, 1, 0] = 0.3  # the dog pixel in no region is more sky than grass
    composed = compose_labels(labels, probs, region_map, _regions([7, 300], [2, 1]), PETS)
    # The cat pixel in no region can only be a tabby.
    assert composed.tolist() == [[0, 3, 3, 1], [1, 4, 4, 0]]


def test_a_name_of_another_group_is_kept():
    """With names free of the segmentation's group (condition='flat') a region of dog may be a tabby."""
    labels, region_map = torch.full((1, 2), DOG), torch.ones(1, 2, dtype=torch.long)
    composed = compose_labels(labels, torch.full((4, 1, 2), 0.25), region_map, _regions([1], [2]), PETS)
    assert composed.tolist() == [[4, 4]]


def test_no_region_and_inputs_as_they_were():
    labels = torch.tensor([[GRASS, SKY]])
    empty = InstanceData(
        ids=torch.zeros(0, dtype=torch.long),
        fine_labels=torch.zeros(0, dtype=torch.long),
        fine_scores=torch.zeros(0, 3),
    )
    composed = compose_labels(labels, torch.full((4, 1, 2), 0.25), torch.zeros_like(labels), empty, PETS)
    assert composed.tolist() == [[0, 1]]
    assert labels.tolist() == [[GRASS, SKY]]
