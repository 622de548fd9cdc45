"""The ways through the network that maps of dense heads must not depend on."""

import pytest

_TILES = dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, tiles_per_batch=3)


@pytest.fixture(
    params=[
        dict(),
        dict(mode='slide', crop_size=(10, 10), stride=(6, 6)),
        _TILES,
        dict(_TILES, margin=0, blending='gaussian'),
        dict(_TILES, keep_logits=False),
    ],
    ids=str,
)
def mode(request):
    """Options of ``test_cfg``."""
    return request.param
