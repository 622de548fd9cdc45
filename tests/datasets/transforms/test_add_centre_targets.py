import math

import cv2
import numpy as np
import pytest

from deepunetto_mm.datasets.transforms import AddCentreTargets, LoadComposedAnnotations, PackRegionInputs
from deepunetto_mm.structures import Taxonomy

CELL, IGNORED, NAN = 1, 255, math.nan
TAXONOMY = Taxonomy.from_dict(
    dict(classes=['background', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['cell'])])
)
# Two cells that touch, a cell of no region, and a pixel that is ignored.
REGIONS = [[1, 1, 1, 2, 0, 0], [1, 1, 1, 2, 0, 0], [0, 0, 0, 2, 0, 0]]
MASK = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 1], [0, 0, 0, 1, 0, IGNORED]]


def _scene(regions=REGIONS, mask=MASK):
    region_map, mask = np.array(regions, np.int32), np.array(mask, np.uint8)
    known = np.setdiff1d(np.unique(region_map), [0, 255])
    zeros = np.zeros(len(known), np.int64)
    return dict(
        img=np.zeros((*mask.shape, 3), np.uint8),
        img_shape=mask.shape,
        ori_shape=mask.shape,
        gt_seg_map=mask,
        gt_region_map=region_map,
        seg_fields=['gt_seg_map', 'gt_region_map'],
        regions=dict(ids=known.astype(np.int64), labels=zeros, fine_labels=zeros),
        taxonomy=TAXONOMY,
    )


def _targets(scene=None, **options):
    return AddCentreTargets(**options)(scene or _scene())['gt_centre_map']


def test_vectors_lead_to_the_mean_of_the_pixels():
    targets = _targets()
    assert targets.dtype == np.float32
    np.testing.assert_equal(targets[1], np.array([[1, 0, -1, 0, NAN, NAN]] * 2 + [[NAN] * 3 + [0, NAN, NAN]]))
    np.testing.assert_equal(
        targets[2], np.array([[0.5] * 3 + [1, NAN, NAN], [-0.5] * 3 + [0, NAN, NAN], [NAN] * 3 + [-1, NAN, NAN]])
    )


def test_the_heat_is_the_greater_gaussian_and_unknown_where_nobody_knows():
    heat = _targets(sigma_ratio=0, sigma_range=(1, 1))[0]

    def peak(x, y, cx, cy):
        return math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2)

    for x, y in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)]:
        assert heat[y, x] == pytest.approx(max(peak(x, y, 1, 0.5), peak(x, y, 3, 1))), (x, y)
    assert heat[1, 3] == 1
    # A cell of no region may be one object or several; of an ignored pixel nothing is known.
    assert np.argwhere(np.isnan(heat)).tolist() == [[1, 5], [2, 5]]


def test_without_instances_components_of_each_specific_class_have_centres(tmp_path):
    """A pedestrian before a car: one component of road users, two centres."""
    taxonomy = dict(
        classes=['road', 'user'], groups=[dict(name='user', members=['user'], fine_classes=['car', 'pedestrian'])]
    )
    path = tmp_path / 'mask.png'
    cv2.imwrite(str(path), np.array([[1, 1, 1, 2, 0]] * 3, np.uint8))
    results = dict(
        seg_map_path=str(path), seg_fields=[], ori_shape=(3, 5), taxonomy=Taxonomy.from_dict(taxonomy), img_path=''
    )
    results = LoadComposedAnnotations(['road', 'car', 'pedestrian']).transform(results)
    targets = _targets(results)
    np.testing.assert_equal(targets[1], np.array([[1, 0, -1, 0, NAN]] * 3))
    assert np.argwhere(targets[0] == 1).tolist() == [[1, 1], [1, 3]]


def test_the_width_follows_the_area_within_its_range():
    square = np.zeros((40, 40), np.int32)
    square[10:31, 10:31] = 1
    scene = _scene(square, square)
    radius = math.sqrt(21 * 21 / math.pi)
    for options, sigma in [
        (dict(), 0.4 * radius),
        (dict(sigma_ratio=0.1), 1.5),
        (dict(sigma_range=(1, 3)), 3),
    ]:
        assert _targets(scene, **options)[0, 20, 23] == pytest.approx(math.exp(-9 / (2 * sigma**2)))
    assert _targets(scene, sigma_ratio=0, sigma_range=(1, 1))[0, 20, 24] == 0  # 3 sigma is its end


def test_a_region_that_leaves_the_picture_has_its_centre_in_sight():
    targets = _targets(_scene([[0, 1, 1], [0, 1, 1]], [[0, 1, 1], [0, 1, 1]]))
    assert targets[1, 0].tolist()[1:] == [0.5, -0.5]
    assert targets[2, :, 2].tolist() == [0.5, -0.5]


def test_regions_that_are_too_small_are_no_objects():
    targets = _targets(min_area=4)
    assert np.isnan(targets[1:, :, 3]).all()
    assert np.isnan(targets[0, :, 3]).all()
    assert targets[0, 0, 4] == pytest.approx(math.exp(-(3**2 + 0.5**2) / (2 * 1.5**2)))  # of the other cell alone


def test_no_region_padding_and_no_mask():
    targets = _targets(_scene([[0, 255]], [[0, IGNORED]]))
    assert targets[0, 0, 0] == 0
    assert np.isnan(targets[:, 0, 1]).all()
    assert np.isnan(targets[1:]).all()
    assert AddCentreTargets()(dict(img=1)) == dict(img=1)


def test_it_is_packed_and_must_fit_the_mask():
    results = AddCentreTargets()(_scene())
    packed = PackRegionInputs()(dict(results))['data_samples'].gt_centre_map.data
    np.testing.assert_equal(packed.numpy(), results['gt_centre_map'])
    results['gt_centre_map'] = results['gt_centre_map'][:, :2]
    with pytest.raises(ValueError, match=r'gt_centre_map is \(2, 6\) and the mask \(3, 6\); put .*AddCentreTargets'):
        PackRegionInputs()(results)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match='put deepunetto_mm.LoadRegions after'):
        AddCentreTargets()(dict(gt_seg_map=np.zeros((2, 2))))
    for options in (dict(sigma_ratio=-1), dict(sigma_range=(0, 1)), dict(sigma_range=(3, 2))):
        with pytest.raises(ValueError, match='sigma_range two numbers of at least 0.5'):
            AddCentreTargets(**options)
