"""The white-patch rule by hand; of whole pictures: tests/datasets/transforms/test_chromatic_adaptation.py."""

import numpy as np

from deepunetto_mm.utils.white_patch import adapt_to_white


def test_the_percentile_of_each_channel_becomes_white():
    picture = np.array([[[10, 0, 255], [20, 0, 51]], [[40, 0, 0], [50, 0, 0]]], np.uint8)
    # Three of four values are at most 40, 51 is the third smallest of 0, 0, 51, 255, and black stays black.
    assert adapt_to_white(picture, 75.0).tolist() == [[[64, 0, 255], [128, 0, 255]], [[255, 0, 0], [255, 0, 0]]]
    assert adapt_to_white(picture[..., 0], 100.0).tolist() == [[51, 102], [204, 255]]
