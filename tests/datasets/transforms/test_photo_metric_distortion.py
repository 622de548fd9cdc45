import numpy as np
import pytest
from mmseg.datasets.transforms import PhotoMetricDistortion as Theirs

from deepunetto_mm.registry import TRANSFORMS


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_equal_to_mmseg(dtype, mmseg_scope):
    picture = np.random.RandomState(0).randint(0, 256, (17, 23, 3)).astype(dtype)
    options = dict(brightness_delta=20, contrast_range=(0.4, 1.7), saturation_range=(0.2, 1.9), hue_delta=30)
    ours, theirs = TRANSFORMS.build(dict(type='deepunetto_mm.PhotoMetricDistortion', **options)), Theirs(**options)
    different = 0
    for seed in range(40):  # two coins of three steps each: all ways are taken
        results = []
        for transform in (ours, theirs):
            np.random.seed(seed)
            results.append(transform(dict(img=picture.copy()))['img'])
            after = np.random.randint(2**30)
            results.append(after)
        assert results[0].dtype == results[2].dtype
        np.testing.assert_array_equal(results[0], results[2])
        assert results[1] == results[3]  # as many random numbers were drawn
        different += (results[0] != picture).any()
    assert different > 30
