import pytest
import torch
import torch.nn.functional as F

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps, class_probabilities, flip_map, mean_map, resize_map

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
KINDS = {'logits': 'logits', 'centres.heat': 'heat', 'centres.offsets': 'vectors'}


def _offsets(height: int, width: int, x: float, y: float) -> torch.Tensor:
    """Vectors (1, 2, H, W) from each pixel's centre to one point of the map."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij')
    return torch.stack([x - columns, y - rows])[None]


def _all_kinds(height: int = 8, width: int = 12) -> dict[str, torch.Tensor]:
    return {
        'logits': torch.randn(1, 4, height, width),
        'centres.heat': torch.rand(1, 1, height, width),
        'centres.offsets': _offsets(height, width, 3.0, 2.0),
    }


# ------------------------------------------------------------------------------------------------------------ one kind
def test_vectors_point_to_the_same_place_after_resizing():
    small = _offsets(4, 6, 3.0, 1.5)
    large = resize_map(small, (8, 18), 'vectors')
    # Bilinear interpolation of a linear map is exact, except where it repeats the outermost pixels.
    torch.testing.assert_close(large[:, :, 1:-1, 2:-2], _offsets(8, 18, 9.0, 3.0)[:, :, 1:-1, 2:-2])
    assert torch.equal(resize_map(small, (4, 6), 'vectors'), small)


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_vectors_point_to_the_same_place_after_a_flip(direction):
    x, y = (9.0, 2.0) if direction == 'horizontal' else (3.0, 6.0)
    torch.testing.assert_close(flip_map(_offsets(8, 12, 3.0, 2.0), direction, 'vectors'), _offsets(8, 12, x, y))


@pytest.mark.parametrize('kind', ['logits', 'heat'])
def test_other_kinds_are_resized_and_flipped_without_a_change_of_values(kind):
    x = torch.randn(2, 3, 4, 6)
    expected = F.interpolate(x, (9, 7), mode='bilinear', align_corners=False)
    assert torch.equal(resize_map(x, (9, 7), kind), expected)
    assert torch.equal(flip_map(x, 'horizontal', kind), x.flip(3))
    assert torch.equal(flip_map(x, 'vertical', kind), x.flip(2))
    with pytest.raises(ValueError, match="flip_direction must be .* got 'diagonal'"):
        flip_map(x, 'diagonal', kind)


def test_logits_are_averaged_as_probabilities_and_others_as_they_are():
    views = [torch.tensor([0.9, 0.1]).log().view(1, 2, 1, 1), torch.tensor([0.3, 0.7]).log().view(1, 2, 1, 1)]
    mean = mean_map(views, 'logits').softmax(1).flatten()
    torch.testing.assert_close(mean, torch.tensor([0.6, 0.4]))
    one = [torch.tensor(p).logit().view(1, 1, 1, 1) for p in (0.9, 0.3)]
    torch.testing.assert_close(mean_map(one, 'logits').sigmoid().item(), 0.6)
    assert mean_map([torch.ones(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)], 'vectors').flatten().tolist() == [0.5, 0.5]


def test_one_channel_is_two_classes():
    probs = class_probabilities(torch.tensor([0.25]).logit().view(1, 1, 1, 1))
    torch.testing.assert_close(probs.flatten(), torch.tensor([0.75, 0.25]))


# ---------------------------------------------------------------------------------------------------------------- maps
def test_probabilities_labels_and_what_is_outside_of_regions():
    probs = torch.tensor([[0.5, 0.1, 0.1, 0.3], [0.1, 0.5, 0.1, 0.3], [0.1, 0.3, 0.5, 0.1]])
    maps = Maps(dict(logits=probs.log().T[None, :, None]), KINDS, PETS)
    torch.testing.assert_close(maps.class_probs[0, :, 0].T, probs)
    torch.testing.assert_close(maps.group_probs[0, :, 0].T, probs[:, [1, 2]])
    assert maps.labels.tolist() == [[[0, 1, 2]]]
    # A dog that may be poodle or boxer is the likeliest stuff; a cat can only be a tabby.
    assert maps.outside_of(torch.tensor([[[0, 7, 0]]]))[0, 0, [0, 2]].tolist() == [0, 4]
    assert maps.outside.tolist() == [[[0, 1, 4]]]


def test_stuff_is_told_apart_where_its_probabilities_underflow():
    """Dogs beyond doubt: of grass and sky float32 has the probability 0, and the second logit is the larger one."""
    logits = torch.tensor([[-50.0, 200, -60, -20], [-20.0, 200, -60, -50]]).T[None, :, None]
    maps = Maps(dict(logits=logits), KINDS, PETS)
    assert not maps.class_probs[0, [0, 3]].any()
    assert maps.outside.tolist() == [[[1, 0]]]
    (view,) = maps.originals([dict(ori_shape=(1, 4))])
    assert view.outside.tolist() == [[[1, 1, 0, 0]]]


def test_stuff_of_one_channel():
    """Its two classes have the scores 0 and the logit; the only stuff class is the likeliest, and the second one."""
    groups = [dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer'])]
    taxonomy = Taxonomy.from_dict(dict(classes=['dog', 'grass'], groups=groups))
    maps = Maps(dict(logits=torch.tensor([-3.0, 2.0]).view(1, 1, 1, 2)), KINDS, taxonomy, threshold=0.5)
    assert maps.class_scores[0, :, 0].tolist() == [[0, 0], [-3, 2]]
    assert maps.outside.tolist() == [[[0, 0]]]


def test_a_threshold_decides_on_the_labels_of_one_channel():
    logits = torch.tensor([0.2, 0.4, 0.6]).logit().view(1, 1, 1, 3)
    assert Maps(dict(logits=logits), KINDS, threshold=0.3).labels.tolist() == [[[0, 1, 1]]]


def test_the_softmax_is_taken_once(monkeypatch):
    calls = []
    monkeypatch.setattr('deepunetto_mm.structures.maps.class_probabilities', lambda x: calls.append(1) or x.softmax(1))
    maps = Maps(dict(logits=torch.randn(2, 4, 3, 3, requires_grad=True)), KINDS, PETS)
    for _ in range(2):
        assert all(x is not None for x in (maps.group_probs, maps.class_probs, maps.outside, maps.detach().group_probs))
        assert torch.equal(maps.select([1]).class_probs, maps.class_probs[1:])
    assert len(calls) == 1
    assert not maps.detach().group_probs.requires_grad
    assert torch.equal(maps.select([1]).labels, maps.labels[1:])


def test_the_original_is_what_was_resized_padded_and_flipped():
    """An original of half the size, drawn as the network would see it: what ``originals`` undoes."""
    first = _all_kinds()
    for direction in ('horizontal', 'vertical'):
        seen = {}
        for name, x in first.items():
            x = resize_map(x, (16, 24), KINDS[name])
            seen[name] = F.pad(flip_map(x, direction, KINDS[name]), (1, 2, 3, 4))
        meta = dict(ori_shape=(8, 12), flip=True, flip_direction=direction, img_padding_size=(1, 2, 3, 4))
        (back,) = Maps(seen, KINDS).originals([meta])
        assert back.size == (8, 12)
        for name, x in first.items():
            expected = resize_map(resize_map(x, (16, 24), KINDS[name]), (8, 12), KINDS[name])
            torch.testing.assert_close(back[name], expected)
        inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
        torch.testing.assert_close(back['centres.offsets'][inner], first['centres.offsets'][inner])


def test_without_meta_information_the_input_is_the_original():
    first = _all_kinds()
    maps = Maps(first, KINDS)
    (own,) = maps.originals([{}])
    assert all(torch.equal(own[name], x) for name, x in first.items())
    # One picture that nothing moved: what is computed once serves both frames.
    assert maps.originals([dict(ori_shape=maps.size, flip=False, padding_size=(0, 0, 0, 0))]) == [maps]
    for meta in (dict(flip=True, flip_direction='vertical'), dict(ori_shape=(5, 7)), dict(padding_size=(0, 1, 0, 0))):
        assert maps.originals([meta])[0] is not maps


def test_the_mean_of_two_views_treats_each_map_by_its_kind():
    views = [Maps(_all_kinds(), KINDS), Maps(_all_kinds(), KINDS)]
    mean = Maps.mean(views)
    for name in KINDS:
        assert torch.equal(mean[name], mean_map([view[name] for view in views], KINDS[name]))


def test_what_is_known_without_logits():
    labels = torch.tensor([[[0, 3]]])
    maps = Maps.known(PETS, labels=labels, outside=torch.tensor([[[0, 1]]]))
    assert maps.size == (1, 2)
    assert maps.outside.tolist() == [[[0, 1]]]
    with pytest.raises(KeyError, match='there is no map .*keep_logits=False'):
        _ = maps.class_probs
    with pytest.raises(ValueError, match='need a taxonomy'):
        _ = Maps(dict(logits=torch.zeros(1, 2, 1, 1)), KINDS).group_probs


@pytest.mark.parametrize('channels', [4, 1])
@pytest.mark.parametrize('whole_first', [False, True])
def test_probabilities_of_some_pixels_are_those_of_the_whole_map(channels, whole_first):
    taxonomy = (
        PETS
        if channels == 4
        else Taxonomy.from_dict(
            dict(classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=['poodle'])])
        )
    )
    maps = Maps(dict(logits=torch.randn(2, channels, 6, 5)), KINDS, taxonomy, threshold=0.5)
    mask = torch.rand(3, 5) > 0.5
    where, nowhere = torch.where(mask), torch.where(torch.zeros(3, 5))
    known = Maps.known(taxonomy, group_probs=Maps(maps.tensors, KINDS, taxonomy).group_probs)
    if whole_first:
        assert maps.group_probs.shape == (2, len(taxonomy.groups), 6, 5)
    found, groups = maps.class_probs_at(1, where, slice(2, 5)), maps.group_probs_at(1, where, slice(2, 5))
    torch.testing.assert_close(found, maps.class_probs[1, :, 2:5][:, mask])
    torch.testing.assert_close(groups, maps.group_probs[1, :, 2:5][:, mask])
    torch.testing.assert_close(known.group_probs_at(1, where, slice(2, 5)), groups)
    assert maps.group_probs_at(0, nowhere, slice(0, 3)).shape == (len(taxonomy.groups), 0)
