"""A picture on its way to the network, beside mmcv; regions on theirs, beside what the network does."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Resize
from mmengine.structures import InstanceData

from deepunetto_mm.datasets.transforms import ChromaticAdaptation
from deepunetto_mm.runtime.frames import regions_of_input, resize, transformed
from deepunetto_mm.structures.frames import to_input_frame


@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear', 'bicubic', 'area', 'lanczos'])
@pytest.mark.parametrize(
    'options',
    [
        dict(scale=(50, 20)),
        dict(scale=(50, 20), keep_ratio=True),
        dict(scale_factor=2.0, keep_ratio=True),
        dict(scale_factor=(0.7, 1.3)),
        dict(scale_factor=(0.7, 1.3), keep_ratio=True),
    ],
    ids=str,
)
def test_pictures_are_resized_as_by_mmcv(options, interpolation):
    generator = np.random.default_rng(0)
    transform = Resize(**options, interpolation=interpolation)
    own = [getattr(transform, key) for key in ('scale', 'scale_factor', 'keep_ratio', 'interpolation')]
    for height, width in ((7, 9), (31, 18), (25, 63)):
        picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = transform(dict(img=picture))['img']
        np.testing.assert_array_equal(resize(picture, *own), expected)


def test_transforms_of_the_runtime_come_in_their_order():
    picture = np.random.default_rng(0).integers(0, 90, (12, 17, 3), dtype=np.uint8)
    white = dict(type='ChromaticAdaptation', percentile=90.0)
    small = dict(type='Resize', scale=(8, 6), scale_factor=None, keep_ratio=False, interpolation='bilinear')
    steps = dict(ChromaticAdaptation=ChromaticAdaptation(90.0), Resize=Resize((8, 6)))
    results = []
    for order in ([white, small], [small, white]):
        expected = dict(img=picture)
        for transform in order:
            expected = steps[transform['type']](expected)
        results.append(transformed(picture, [dict(transform, by='runtime') for transform in order]))
        np.testing.assert_array_equal(results[-1], expected['img'])
    assert (results[0] != results[1]).any()
    assert transformed(picture, [dict(white, by='graph')]) is picture


@pytest.mark.parametrize('size', [(24, 34), (5, 40), (12, 17)])
def test_regions_go_where_the_network_sees_them(size):
    region_map = np.random.default_rng(1).integers(0, 4, (12, 17)).astype(np.int32)
    boxes = np.array([[0, 0, 17, 12], [3, 4, 8, 11]], np.float32)
    for count in (2, 0):
        table = InstanceData(bboxes=torch.from_numpy(boxes[:count]))
        expected = to_input_frame(table, torch.from_numpy(region_map), {}, size)
        found = regions_of_input(boxes[:count], region_map, size)
        np.testing.assert_array_equal(found[0], expected[0].bboxes)
        np.testing.assert_array_equal(found[1], expected[1])
        assert (found[0].dtype, found[1].dtype) == (np.float32, np.int32)
