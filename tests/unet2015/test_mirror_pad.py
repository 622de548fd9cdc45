import numpy as np
import pytest
import torch

from deepunetto_mm.ops import mirrored_window
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.unet2015 import MirrorPad


def _scene(height, width, channels=3):
    mask = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    return dict(
        img=np.stack([mask + c for c in range(channels)], axis=-1) if channels else mask,
        gt_seg_map=mask,
        gt_region_map=mask.astype(np.int32) * 70000,
        seg_fields=['gt_seg_map', 'gt_region_map'],
        img_shape=(height, width),
    )


def test_the_outer_pixels_are_not_repeated():
    padded = MirrorPad(padding=2)(_scene(3, 4, channels=0))
    expected = [
        [10, 9, 8, 9, 10, 11, 10, 9],
        [6, 5, 4, 5, 6, 7, 6, 5],
        [2, 1, 0, 1, 2, 3, 2, 1],
        [6, 5, 4, 5, 6, 7, 6, 5],
        [10, 9, 8, 9, 10, 11, 10, 9],
        [6, 5, 4, 5, 6, 7, 6, 5],
        [2, 1, 0, 1, 2, 3, 2, 1],
    ]
    assert padded['img'].tolist() == padded['gt_seg_map'].tolist() == expected
    assert padded['gt_region_map'].dtype == np.int32
    assert (padded['gt_region_map'] == np.array(expected) * 70000).all()
    assert padded['img_shape'] == (7, 8)


@pytest.mark.parametrize('shape', [(9, 14), (3, 5), (1, 2), (1, 1)])
def test_mirrors_as_the_network_does_in_prediction(shape):
    scene = _scene(*shape)
    before = scene['img'].copy()
    padded = MirrorPad(padding=7)(scene)['img']
    window = mirrored_window(torch.from_numpy(before).permute(2, 0, 1), -7, -7, *(n + 14 for n in shape))
    assert (padded == window.permute(1, 2, 0).numpy()).all()


def test_labels_may_be_left_out():
    padded = MirrorPad(padding=1, seg_pad_val=255)(_scene(1, 2))
    assert padded['img'].shape == (3, 4, 3)
    assert padded['gt_seg_map'].tolist() == [[255] * 4, [255, 0, 1, 255], [255] * 4]
    assert padded['gt_region_map'].tolist() == [[255] * 4, [255, 0, 70000, 255], [255] * 4]


def test_pictures_alone_and_no_padding():
    assert MirrorPad(padding=3)(dict(img=np.zeros((4, 5, 3), np.uint8)))['img'].shape == (10, 11, 3)
    assert (MirrorPad(padding=0)(_scene(4, 5))['img'] == _scene(4, 5)['img']).all()


def test_errors():
    with pytest.raises(ValueError, match='padding must be at least 0 pixels, got -1'):
        TRANSFORMS.build(dict(type='MirrorPad', padding=-1))
    scene = _scene(4, 5)
    scene['gt_region_map'] = scene['gt_region_map'][1:]
    with pytest.raises(ValueError, match=r'gt_region_map is \(3, 5\) and the picture \(4, 5\)'):
        MirrorPad()(scene)


def test_repr():
    assert repr(MirrorPad(padding=8, seg_pad_val=0)) == 'MirrorPad(padding=8, seg_pad_val=0)'
