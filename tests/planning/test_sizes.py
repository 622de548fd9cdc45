from dataclasses import replace

import pytest

from deepunetto_mm.planning.fingerprint import Fingerprint, Machine
from deepunetto_mm.planning.sizes import crop_of, scale_of, size_of_whole_pictures, window_of

MACHINE = Machine(cores=2, memory=16, gpu='', gpu_memory=0, torch='2')
DATA = Fingerprint(
    pictures=9,
    size=(640, 480),
    sizes=[(640, 480), (640, 480)],
    one_size=True,
    bits=8,
    low=0,
    high=255,
    classes=dict(background=0.9, cell=0.1),
    regions=90,
    area=[50, 100, 256, 900, 1600],
    side=[7, 10, 16, 36, 48],
)


@pytest.mark.parametrize(
    ('changes', 'encoder', 'centres', 'scale'),
    [
        (dict(), 'scratch', False, 1.0),  # 8 / sqrt(100) = 0.8, above 0.7: as they are
        (dict(area=[50, 400, 900, 1600, 2500]), 'scratch', False, 0.6),  # 320 / sqrt(640 * 480) = 0.577
        (dict(area=[50, 180, 900, 1600, 2500]), 'scratch', False, 0.6),  # 8 / sqrt(180) = 0.596
        (dict(size=(100, 80), sizes=[(100, 80)] * 2), 'efficientnet-lite0', False, 1.92),
        (dict(size=(100, 80), sizes=[(100, 80)] * 2), 'scratch', False, 1.0),
        (dict(), 'scratch', True, 2.0),  # 32 of 16 pixels
        (dict(sizes=[(640, 480), (4000, 2500)]), 'scratch', True, 1.3),  # sqrt(16e6 / 1e7) = 1.265
    ],
)
def test_the_scale(changes, encoder, centres, scale):
    why = {}
    found = scale_of(replace(DATA, **changes), MACHINE, encoder, centres, why)
    assert found == scale
    assert why['scale']


def test_crops_are_whole_pictures_or_parts():
    small = replace(DATA, size=(275, 415), sizes=[(275, 415)] * 2)
    assert crop_of(small, MACHINE, 1.0, {}) == ((416, 288), False)
    assert crop_of(DATA, MACHINE, 1.0, {}) == ((320, 320), True)
    assert crop_of(DATA, replace(MACHINE, gpu='any'), 1.0, {}) == ((480, 640), False)
    # The largest picture counts, if sizes differ.
    assert crop_of(replace(small, one_size=False, sizes=[(275, 415), (640, 480)]), MACHINE, 1.0, {})[1]


def test_whole_pictures():
    assert size_of_whole_pictures(replace(DATA, size=(299, 224)), {}) == (1.0, (160, 160))
    assert size_of_whole_pictures(replace(DATA, size=(64, 48)), {}) == (2.0, (64, 64))  # 96 / sqrt(2) = 68


def test_one_window_where_sizes_tell():
    alike = replace(DATA, side=[55, 60, 80, 95, 110])
    assert window_of(alike, 1.0, True, {}) == (112, 112)  # 95 * 1.15 = 109.25
    assert window_of(alike, 1.0, False, {}) == (None, 112)  # 80 * 1.4 = 112
    why = {}
    assert window_of(replace(DATA, side=[5, 8, 16, 36, 48]), 1.0, True, why) == (None, 48)  # 36 >= 4 * 8
    assert 'too different for one window' in why['window']
