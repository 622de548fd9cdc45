import pytest
import torch

from deepunetto_mm.ops import pick_maps

MAPS = [torch.zeros(2, channels, 4, 4) for channels in (3, 5, 7)]


@pytest.mark.parametrize(
    ('in_index', 'in_channels', 'picked'),
    [((0, 2), [3, 7], [0, 2]), ((-1,), (7,), [2]), ((1,), None, [1]), ((), (), [])],
)
def test_maps_are_picked_by_position(in_index, in_channels, picked):
    assert [id(x) for x in pick_maps(MAPS, in_index, in_channels, 'Reader')] == [id(MAPS[i]) for i in picked]


@pytest.mark.parametrize(
    ('in_index', 'in_channels', 'wanted'),
    [
        ((0, 1), [3, 6], r'in_index=\[0, 1\], in_channels=\[3, 6\]'),
        ((3,), None, r'in_index=\[3\]'),
        ((-4,), (3,), r'in_index=\[-4\], in_channels=\[3\]'),
    ],
)
def test_other_maps_than_the_reader_was_built_for(in_index, in_channels, wanted):
    with pytest.raises(ValueError, match=rf'^Reader has {wanted}, but .* have the channels \[3, 5, 7\]$'):
        pick_maps(MAPS, in_index, in_channels, 'Reader')
