import numpy as np
import pytest
from mmseg.datasets.transforms import RandomCrop as Theirs

from deepunetto_mm.registry import TRANSFORMS


@pytest.mark.parametrize('dtype', [np.uint8, np.int32])
@pytest.mark.parametrize('options', [{}, dict(cat_max_ratio=0.6), dict(cat_max_ratio=0.6, ignore_index=3)])
@pytest.mark.parametrize('crop_size', [(8, 12), (40, 10)])
def test_equal_to_mmseg(crop_size, options, dtype):
    generator = np.random.RandomState(0)
    labels = np.kron(generator.choice([0, 0, 0, 1, 3, 255], (6, 7)), np.ones((4, 4))).astype(dtype)
    picture = generator.randint(0, 256, (*labels.shape, 3)).astype(np.uint8)
    ours = TRANSFORMS.build(dict(type='deepunetto_mm.RandomCrop', crop_size=crop_size, **options))
    theirs = Theirs(crop_size, **options)
    for seed in range(30):
        results = []
        for transform in (ours, theirs):
            np.random.seed(seed)
            results.append(transform(dict(img=picture, gt_seg_map=labels, seg_fields=['gt_seg_map'])))
            results[-1]['next'] = np.random.randint(2**30)
        for key in ('img', 'gt_seg_map', 'img_shape', 'next'):
            np.testing.assert_array_equal(results[0][key], results[1][key])
