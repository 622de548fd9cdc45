import pytest
import torch
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample

from deepunetto_mm.models.fine.composing import write_predictions
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

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
    labels = torch.tensor(PETS.group_of_fine)[scores.argmax(1)]
    regions = InstanceData(ids=torch.tensor(ids, dtype=torch.long), labels=labels, group_probs=torch.ones(len(ids), 2))
    return regions, scores


def _compose(labels, class_probs, region_map, regions, scores, taxonomy=PETS, vote='', join=False, **tensors):
    sample = SegDataSample()
    tensors['logits'] = class_probs.log()[None]
    maps = Maps.known(taxonomy, tensors, dict.fromkeys(tensors, 'logits'), labels=labels[None])
    write_predictions(sample, regions, region_map, scores, maps, vote, join)
    assert join or torch.equal(sample.pred_region_map.data[0], region_map)
    return sample.pred_fine_seg.data[0], sample.pred_regions


def test_stuff_names_and_what_is_in_no_region():
    labels = torch.tensor([[GRASS, DOG, DOG, SKY], [DOG, CAT, CAT, GRASS]])
    region_map = torch.tensor([[0, 300, 300, 0], [0, 7, 0, 0]])
    probs = torch.full((4, 2, 4), 0.1)
    probs[SKY, 1, 0] = 0.3  # the dog pixel in no region is more sky than grass
    composed, _ = _compose(labels, probs, region_map, *_regions([7, 300], [2, 1]))
    # The cat pixel in no region can only be a tabby.
    assert composed.tolist() == [[0, 3, 3, 1], [1, 4, 4, 0]]


def test_a_name_of_another_group_is_kept():
    """With names free of the segmentation's group (condition='flat') a region of dog may be a tabby."""
    labels, region_map = torch.full((1, 2), DOG), torch.ones(1, 2, dtype=torch.long)
    composed, regions = _compose(labels, torch.full((4, 1, 2), 0.25), region_map, *_regions([1], [2]))
    assert composed.tolist() == [[4, 4]]
    assert regions.labels.tolist() == [1]


@pytest.mark.parametrize('join', [False, True])
def test_no_region_and_inputs_as_they_were(join):
    labels, (regions, scores) = torch.tensor([[GRASS, SKY]]), _regions([], [])
    regions.bboxes, regions.areas = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    region_map, probs = torch.zeros_like(labels), torch.full((4, 1, 2), 0.25)
    composed, _ = _compose(labels, probs, region_map, regions, scores, join=join)
    assert composed.tolist() == [[0, 1]]
    assert labels.tolist() == [[GRASS, SKY]]


def test_regions_that_names_bring_together():
    """The segmentation took half of a tabby for a dog; the boxer beside it is another region."""
    labels = torch.tensor([[DOG, CAT, DOG]])
    region_map = torch.tensor([[4, 6, 9]])
    regions, scores = _regions([4, 6, 9], [2, 2, 1])
    regions.labels = torch.tensor([0, 1, 0])
    regions.bboxes = torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1], [2, 0, 3, 1]])
    regions.areas = torch.tensor([1, 1, 1])
    regions.group_probs = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    regions.objectness = torch.tensor([1.0, 0.5, 1.0])
    sample = SegDataSample()
    maps = Maps.known(PETS, {'logits': torch.zeros(1, 4, 1, 3)}, {'logits': 'logits'}, labels=labels[None])
    write_predictions(sample, regions, region_map, scores, maps, join=True)
    assert sample.pred_region_map.data.tolist() == [[[4, 4, 9]]]
    assert sample.pred_fine_seg.data.tolist() == [[[4, 4, 3]]]
    found = sample.pred_regions
    assert (found.ids.tolist(), found.labels.tolist(), found.fine_labels.tolist()) == ([4, 9], [1, 0], [2, 1])
    assert found.bboxes.tolist() == [[0, 0, 2, 1], [2, 0, 3, 1]]
    # Of the group that the name decided on: means of 0.2 and 0.6, and of 1 and 0.5.
    torch.testing.assert_close(found.scores, torch.tensor([0.4 * 0.75, 0.9]))


def test_nothing_is_copied_where_no_names_bring_groups_together(monkeypatch):
    """Two cats, both named dogs, and two dogs, both named cats: regions of one group stay apart."""
    monkeypatch.setattr('deepunetto_mm.models.fine.composing.join_regions', None)
    region_map = torch.tensor([[4, 6, 0, 8, 9]])
    regions, scores = _regions([4, 6, 8, 9], [0, 1, 2, 2])
    regions.labels = torch.tensor([1, 1, 0, 0])
    composed, found = _compose(
        region_map.clamp(max=3) // 3, torch.full((4, 1, 5), 0.25), region_map, regions, scores, join=True
    )
    assert (found.ids.tolist(), composed[0, [0, 1, 3, 4]].tolist()) == ([4, 6, 8, 9], [2, 3, 4, 4])


def test_pixels_and_region_vote_on_the_name():
    """A region of 'animal' in which the segmentation sees dog, cat and a doubtful pixel, and the fine head says cat."""
    taxonomy = Taxonomy.from_dict(
        dict(
            classes=['grass', 'dog', 'cat', 'sky'],
            groups=[dict(name='animal', members=['dog', 'cat'], fine_classes=['cat', 'dog'])],
        )
    )
    probs = torch.tensor([[0.1, 0.1, 0.1, 0.7], [0.8, 0.2, 0.5, 0.1], [0.05, 0.65, 0.3, 0.1], [0.05, 0.05, 0.1, 0.1]])
    given = torch.tensor([[DOG, CAT, DOG, SKY]]), probs[:, None], torch.tensor([[7, 7, 7, 0]])
    # Composed: grass 0, sky 1, cat 2, dog 3.
    for vote, expected in [
        ('', [[2, 2, 2, 1]]),
        # dog 0.8 x 0.3 > cat 0.05 x 0.7; cat 0.65 x 0.7 > dog 0.2 x 0.3; cat 0.3 x 0.7 > dog 0.5 x 0.3
        ('logits', [[3, 2, 2, 1]]),
    ]:
        region = InstanceData(ids=torch.tensor([7]), labels=torch.tensor([0]), group_probs=torch.tensor([[0.8]]))
        composed, regions = _compose(*given, region, torch.tensor([[0.7, 0.3]]), taxonomy, vote)
        assert composed.tolist() == expected
        assert regions.fine_labels.tolist() == [0]
        torch.testing.assert_close(regions.scores, torch.tensor([0.8]))


def test_pixels_of_a_map_of_names_vote_too():
    """The boxer before a poodle: one region of dogs, whose pixels have names of their own."""
    labels, region_map = torch.tensor([[DOG, DOG, DOG, CAT]]), torch.tensor([[5, 5, 5, 6]])
    # Poodle, boxer, tabby; those of a group sum to 1.
    names = torch.tensor([[0.9, 0.2, 0.35, 0.5], [0.1, 0.8, 0.65, 0.5], [1.0, 1.0, 1.0, 1.0]])[None, :, None]
    regions, _ = _regions([5, 6], [0, 2])
    scores = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
    given = labels, torch.full((4, 1, 4), 0.25), region_map, regions, scores
    # 0.8 x 0.3 > 0.2 x 0.7, but 0.65 x 0.3 < 0.35 x 0.7; a cat can only be a tabby.
    composed, _ = _compose(*given, vote='names', names=names.log())
    assert composed.tolist() == [[2, 3, 2, 4]]
    # A head of one's own need not normalise its logits.
    composed, _ = _compose(*given, vote='names', names=names.log() + 90)
    assert composed.tolist() == [[2, 3, 2, 4]]
    composed, regions = _compose(*given, names=names.log())
    assert composed.tolist() == [[2, 2, 2, 4]]
    assert regions.fine_labels.tolist() == [0, 2]


def test_a_map_of_names_is_no_judge_of_the_group():
    """A poodle, as its name says, though a cat of one name has the probability 1 within its group everywhere."""
    names = torch.tensor([[0.3, 0.1], [0.7, 0.9], [1.0, 1.0]])[None, :, None].log()
    given = torch.full((1, 2), DOG), torch.full((4, 1, 2), 0.25), torch.ones(1, 2, dtype=torch.long)
    scores = torch.tensor([[0.5, 0.1, 0.4]])
    # 0.5 x 0.3 > 0.1 x 0.7, and 0.5 x 0.1 < 0.1 x 0.9.
    composed, _ = _compose(*given, _regions([1], [0])[0], scores, vote='names', names=names)
    assert composed.tolist() == [[2, 3]]


@pytest.mark.parametrize('vote', ['names', 'logits'])
def test_pixels_vote_in_joined_regions(vote):
    """Half of a dog was taken for a cat; its name says dog, and of the two halves pixels say which one."""
    classes = ['grass', 'poodle', 'boxer', 'tabby']
    groups = [('dog', classes[1:3]), ('cat', classes[3:])]
    taxonomy = Taxonomy.from_dict(
        dict(classes=classes, groups=[dict(name=name, members=own, fine_classes=own) for name, own in groups])
    )
    region_map = torch.tensor([[4, 4, 6, 6, 6]])
    regions = InstanceData(
        ids=torch.tensor([4, 6]),
        labels=torch.tensor([0, 1]),
        bboxes=torch.tensor([[0.0, 0, 2, 1], [2, 0, 5, 1]]),
        areas=torch.tensor([2, 3]),
        group_probs=torch.tensor([[0.9, 0.1], [0.2, 0.8]]),
    )
    scores = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]])
    # Weighted by 2 and 3 pixels and without the tabby: 0.4 and 0.42 of 0.82, a boxer.
    dogs = torch.tensor([[0.9, 0.2, 0.6, 0.51, 0.0], [0.1, 0.8, 0.4, 0.49, 0.0]])
    probs = torch.cat([torch.zeros(1, 5), dogs * torch.tensor([1, 1, 0.1, 0.1, 0]), torch.zeros(1, 5)])
    probs[3] = 1 - probs.sum(0)
    names = torch.cat([dogs, torch.ones(1, 5)])[None, :, None].log()  # the last pixel knows of no dog
    given = torch.tensor([[1, 2, 3, 3, 3]]), probs[:, None], region_map, regions, scores, taxonomy
    composed, joined = _compose(*given, vote, True, names=names)
    assert (joined.ids.tolist(), joined.fine_labels.tolist()) == ([4], [1])
    torch.testing.assert_close(joined.fine_scores, torch.tensor([[0.4, 0.42, 0]]) / 0.82)
    # Composed: grass 0, poodle 1, boxer 2, tabby 3. 0.51 x 0.4 < 0.49 x 0.42.
    assert composed.tolist() == [[1, 2, 1, 2, 2]]


def test_no_stuff_where_the_taxonomy_has_none():
    taxonomy = Taxonomy.from_dict(
        dict(classes=['dog', 'cat'], groups=[dict(name='pet', members=['dog', 'cat'], fine_classes=['a', 'b'])])
    )
    region = InstanceData(ids=torch.tensor([1]), labels=torch.tensor([0]), group_probs=torch.tensor([[1.0]]))
    given = torch.tensor([[0, 1]]), torch.full((2, 1, 2), 0.5), torch.tensor([[0, 1]])
    composed, _ = _compose(*given, region, torch.tensor([[0.2, 0.8]]), taxonomy)
    assert composed.tolist() == [[255, 1]]
