import numpy as np
import pytest

from deepunetto_mm.datasets import ColourShift, RandomShift


def test_the_transform_gets_what_was_drawn():
    image = np.full((2, 3, 3), [20, 100, 60], np.uint8)
    shift = RandomShift('deepunetto_mm.ColourShift', dict(brightness=(0.5, 1.5), saturation=(0, 0)))
    np.random.seed(3)
    factor = np.random.uniform(0.5, 1.5)
    np.random.seed(3)
    expected = ColourShift(brightness=factor, saturation=0)(dict(img=image))['img']
    assert (shift(dict(img=image))['img'] == expected).all()
    assert not (shift(dict(img=image))['img'] == expected).all()  # drawn again


def test_ends_are_checked_before_the_training():
    with pytest.raises(ValueError, match='ColourShift: brightness must be a factor of at least 0, got -1'):
        RandomShift('deepunetto_mm.ColourShift', dict(brightness=(-1, 1)))
    for span in ((2, 1), 3, (1, 2, 3)):
        with pytest.raises(ValueError, match='RandomShift: hue needs its smallest and its largest value, got'):
            RandomShift('deepunetto_mm.ColourShift', dict(hue=span))


def test_it_says_what_it_does():
    shift = RandomShift('deepunetto_mm.ColourShift', dict(hue=(-5, 5)))
    assert repr(shift) == "RandomShift(transform='deepunetto_mm.ColourShift', ranges={'hue': (-5, 5)})"
