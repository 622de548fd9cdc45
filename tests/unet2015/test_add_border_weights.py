import math

import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS

from deepunetto_mm.datasets import PackRegionInputs
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.unet2015 import AddBorderWeights, add_border_weights
from deepunetto_mm.unet2015.border_weights import border_weights

TAXONOMY = Taxonomy.from_dict(
    dict(classes=['ground', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['round', 'long'])])
)


def _scene():
    """Two cells of one pixel, a pixel between them, and an ignored one."""
    return dict(
        img=np.zeros((1, 4, 3), np.uint8),
        img_shape=(1, 4),
        ori_shape=(1, 4),
        gt_seg_map=np.array([[1, 0, 1, 255]], np.uint8),
        gt_region_map=np.array([[70000, 0, 2, 255]], np.int32),
        seg_fields=['gt_seg_map', 'gt_region_map'],
        regions=dict(ids=np.array([2, 70000]), labels=np.array([0, 0]), fine_labels=np.array([0, -1])),
        taxonomy=TAXONOMY,
    )


def _weights(**options):
    return AddBorderWeights(**options)(_scene())['gt_weight_map']


def test_by_hand():
    # The sum of the distances is 2 at each of the three pixels; 3 pixels, of which 2 and 1 are of a class.
    border = 10 * math.exp(-4 / 50)
    weights = _weights()
    assert (weights.dtype, weights.shape) == (np.float32, (1, 4))
    np.testing.assert_allclose(weights, [[border + 0.75, border + 1.5, border + 0.75, 0]], rtol=1e-6)
    border = 3 * math.exp(-4 / 8)
    expected = [[border + 1, border + 1, border + 1, 0]]
    np.testing.assert_allclose(_weights(w0=3, sigma=2, class_weights='none'), expected, rtol=1e-6)
    np.testing.assert_allclose(_weights(w0=0, class_weights=[0.5, 4]), [[4, 0.5, 4, 0]])


def test_no_region():
    scene = _scene()
    scene.update(gt_seg_map=np.zeros((1, 4), np.uint8), gt_region_map=np.zeros((1, 4), np.int32))
    assert AddBorderWeights()(scene)['gt_weight_map'].tolist() == [[1, 1, 1, 1]]


def test_picture_without_mask_passes():
    picture = dict(img=np.zeros((2, 3, 3), np.uint8))
    assert AddBorderWeights()(picture) == picture


def test_packed_with_the_regions():
    transform = TRANSFORMS.build(dict(type='deepunetto_mm.AddBorderWeights', class_weights='none'))
    results = transform(_scene())
    sample = PackRegionInputs()(results)['data_samples']
    packed = sample.gt_weight_map.data
    assert (packed.dtype, packed.shape) == (torch.float32, (1, 1, 4))
    assert packed[0].tolist() == results['gt_weight_map'].tolist()
    assert 'gt_weight_map' not in PackRegionInputs()(_scene())['data_samples']
    results['gt_weight_map'] = np.ones((2, 4), np.float32)
    with pytest.raises(ValueError, match=r'gt_weight_map is \(2, 4\) and the mask \(1, 4\); put .* after all'):
        PackRegionInputs()(results)


def test_weights_that_are_computed_first_move_with_the_labels():
    scene = AddBorderWeights()(_scene())
    expected = scene['gt_weight_map'][:, ::-1].tolist()
    scene = TRANSFORMS.build(dict(type='mmseg.RandomFlip', prob=1.0, direction='horizontal'))(scene)
    assert scene['gt_seg_map'].tolist() == [[255, 1, 0, 1]]
    assert scene['gt_weight_map'].tolist() == expected
    assert PackRegionInputs()(scene)['data_samples'].gt_weight_map.data.tolist() == [expected]


def test_cache_spares_the_work_and_is_never_out_of_date(tmp_path, monkeypatch):
    calls = []

    def counted(*args):
        calls.append(args)
        return border_weights(*args)

    monkeypatch.setattr(add_border_weights, 'border_weights', counted)
    cache = tmp_path / 'new' / 'cache'
    expected = _weights()
    for _ in range(2):
        assert (_weights(cache_dir=str(cache)) == expected).all()
    assert len(calls) == 2  # without the cache, and with it once
    files = list(cache.iterdir())
    assert [file.suffix for file in files] == ['.npy']

    # Class weights are not part of what is kept; other options, another map, or its transpose are another file.
    _weights(cache_dir=str(cache), class_weights='none')
    assert len(calls) == 2
    assert (_weights(cache_dir=str(cache), sigma=2) == _weights(sigma=2)).all()
    scene = _scene()
    for key in ('gt_seg_map', 'gt_region_map'):
        scene[key] = scene[key].T
    weights = AddBorderWeights(cache_dir=str(cache))(scene)['gt_weight_map']
    assert (weights == expected.T).all()
    assert len(list(cache.iterdir())) == 3

    files[0].write_bytes(b'')
    assert (_weights(cache_dir=str(cache)) == expected).all()
    assert files[0].stat().st_size > 0


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(file, array):
        file.write(b'half')
        raise OSError('no space left')

    monkeypatch.setattr(np, 'save', full)
    with pytest.raises(OSError, match='no space left'):
        _weights(cache_dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_errors():
    with pytest.raises(ValueError, match='w0=-1 and sigma=5'):
        AddBorderWeights(w0=-1)
    with pytest.raises(ValueError, match="class_weights must be one of .* got 'balanced'"):
        AddBorderWeights(class_weights='balanced')
    for wrong in ([], [1, -1]):
        with pytest.raises(ValueError, match='class_weights must be at least 0 for each class'):
            AddBorderWeights(class_weights=wrong)
    with pytest.raises(ValueError, match='labels from 0 to 1, but class_weights has 1 numbers'):
        _weights(class_weights=[1.0])
    scene = _scene()
    scene['gt_region_map'] = np.zeros((2, 4), np.int32)
    with pytest.raises(ValueError, match=r'gt_seg_map is \(1, 4\) and gt_region_map \(2, 4\)'):
        AddBorderWeights()(scene)
    del scene['gt_region_map']
    with pytest.raises(ValueError, match='put deepunetto_mm.LoadRegions after LoadAnnotations'):
        AddBorderWeights()(scene)


def test_repr():
    assert repr(AddBorderWeights(cache_dir='c')) == (
        "AddBorderWeights(w0=10.0, sigma=5.0, class_weights='frequency', ignore_index=255, cache_dir='c')"
    )
