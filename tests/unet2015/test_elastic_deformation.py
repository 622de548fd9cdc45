import numpy as np
import pytest
from mmcv.transforms.utils import cache_random_params
from mmengine.dataset import Compose
from scipy import ndimage

from deepunetto_mm.unet2015 import ElasticDeformation
from deepunetto_mm.unet2015.elastic_deformation import displacement_field

#: Region ids of 32 bits, by mask label.
IDS = np.array([0, 3, 70000, 2**31 - 1, 256])


def _scene(height=61, width=83, channels=3):
    """Blocks of 5 classes, a region id for each, and a picture that shows the class."""
    blocks = np.random.default_rng(1).integers(0, 5, (4, 5)).repeat(17, 0).repeat(19, 1)
    mask = blocks[:height, :width].astype(np.uint8)
    return dict(
        img=np.stack([mask * 50 + c for c in range(channels)], axis=-1),
        gt_seg_map=mask,
        gt_region_map=IDS[mask].astype(np.int32),
        gt_depth_map=mask.astype(np.float32) / 4,
        seg_fields=['gt_seg_map', 'gt_region_map', 'gt_depth_map'],
    )


def _fixed(monkeypatch, vectors, **options):
    transform = ElasticDeformation(points=np.shape(vectors)[1], **options)
    monkeypatch.setattr(transform, '_draw', lambda: np.asarray(vectors, float))
    return transform


@pytest.mark.parametrize(('shape', 'points'), [((65, 81), 3), ((31, 16), 4), ((9, 9), 9), ((40, 53), 2)])
def test_displacements_at_the_grid_points_are_the_drawn_ones(shape, points):
    vectors = np.random.normal(0, 10, (2, points, points))
    field = displacement_field(vectors, shape)
    assert field.shape == (2, *shape)
    rows, columns = (np.linspace(0, size - 1, points) for size in shape)
    on_pixels = [np.isclose(grid, grid.round()) for grid in (rows, columns)]
    assert on_pixels[0][[0, -1]].all()
    at_points = field[:, rows[on_pixels[0]].round().astype(int)][:, :, columns[on_pixels[1]].round().astype(int)]
    np.testing.assert_allclose(at_points, vectors[:, on_pixels[0]][:, :, on_pixels[1]], atol=1e-12)


def test_displacements_between_are_scipys_bicubic_spline():
    vectors = np.random.normal(0, 10, (2, 3, 3))
    field = displacement_field(vectors, (47, 62))
    for axis in range(2):
        zoomed = ndimage.zoom(vectors[axis], (47 / 3, 62 / 3), order=3, mode='mirror', grid_mode=False)
        np.testing.assert_allclose(field[axis], zoomed, atol=1e-12)


@pytest.mark.parametrize('shape', [(1, 7), (7, 1), (1, 1)])
def test_tiny_pictures(shape):
    moved = ElasticDeformation(sigma=3)(_scene(*shape))
    assert moved['img'].shape == (*shape, 3)
    assert moved['gt_region_map'].shape == shape


@pytest.mark.parametrize('options', [dict(sigma=0), dict(sigma=20, prob=0), dict(sigma=0, interpolation='bicubic')])
def test_identity(options):
    moved, before = ElasticDeformation(**options)(_scene()), _scene()
    for key in ('img', *before['seg_fields']):
        assert (moved[key] == before[key]).all()
        assert moved[key].dtype == before[key].dtype


def test_probability():
    transform = ElasticDeformation(prob=0.25)
    assert np.mean([transform._draw() is not None for _ in range(1000)]) == pytest.approx(0.25, abs=0.05)


def test_vectors_are_gaussian():
    transform = ElasticDeformation(sigma=10)
    vectors = np.stack([transform._draw() for _ in range(500)])
    assert vectors.shape == (500, 2, 3, 3)
    assert vectors.mean() == pytest.approx(0, abs=0.5)
    assert vectors.std() == pytest.approx(10, abs=0.3)


def test_translation_by_hand(monkeypatch):
    # One pixel from above and two from the right.
    vectors = np.broadcast_to(np.reshape([-1, 2], (2, 1, 1)), (2, 3, 3))
    image = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)

    def moved(**options):
        results = dict(img=image, gt_seg_map=image, seg_fields=['gt_seg_map'])
        results = _fixed(monkeypatch, vectors, **options)(results)
        return results['img'].tolist(), results['gt_seg_map'].tolist()

    mirrored = [[7, 8, 7, 6], [3, 4, 3, 2], [7, 8, 7, 6]]
    assert moved() == (mirrored, [[255, 255, 255, 255], [3, 4, 255, 255], [7, 8, 255, 255]])
    assert moved(interpolation='bicubic', seg_pad_val=None) == (mirrored, mirrored)
    padded = [[9, 9, 9, 9], [3, 4, 9, 9], [7, 8, 9, 9]]
    assert moved(pad_val=9, seg_pad_val=0) == (padded, [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]])


def test_pad_value_of_each_channel(monkeypatch):
    scene = _scene()
    far = np.full((2, 3, 3), 1000)
    assert (_fixed(monkeypatch, far, pad_val=7)(dict(scene))['img'] == 7).all()
    assert (_fixed(monkeypatch, far, pad_val=(1, 2, 3))(dict(scene))['img'] == [1, 2, 3]).all()
    # Mirrored again and again, as far as it takes.
    assert np.isin(_fixed(monkeypatch, far, seg_pad_val=None)(dict(scene))['gt_region_map'], IDS).all()


@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear', 'bicubic'])
@pytest.mark.parametrize('seg_pad_val', [255, None])
def test_picture_and_maps_move_together(interpolation, seg_pad_val):
    ids = np.full(256, -1)
    ids[:5] = IDS
    ids[255] = 255
    transform = ElasticDeformation(sigma=6, interpolation=interpolation, seg_pad_val=seg_pad_val)
    for _ in range(5):
        moved = transform(_scene())
        mask, region_map = moved['gt_seg_map'], moved['gt_region_map']
        assert (mask != _scene()['gt_seg_map']).mean() > 0.05
        assert (mask.dtype, region_map.dtype, moved['img'].dtype) == (np.uint8, np.int32, np.uint8)
        # The very same pixels, of 8 and of 32 bits: no id is lost between others or invented.
        assert (region_map == ids[mask]).all()
        known = mask != 255
        assert known.all() == (seg_pad_val is None)
        assert (moved['gt_depth_map'] == np.where(known, mask / 4, 255)).all()
        shown = np.rint(moved['img'][..., 0] / 50)
        # Where blocks meet, half a pixel decides, and interpolated colours lie between those of the classes. At the
        # edge nobody sees whether blocks meet.
        steady = ndimage.maximum_filter(mask, 5, mode='constant', cval=99) == ndimage.minimum_filter(mask, 5)
        assert steady.mean() > 0.4
        assert (shown == mask)[steady & known].all()


@pytest.mark.parametrize('image', [np.zeros((20, 30), np.uint8), np.zeros((20, 30, 1), np.float32)])
def test_grey_pictures_keep_shape_and_type(image):
    moved = ElasticDeformation()(dict(img=image))['img']
    assert moved.shape == image.shape
    assert moved.dtype == image.dtype


def test_the_seed_decides_and_inputs_are_not_changed():
    transform, scene = ElasticDeformation(), _scene()
    moved = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        moved.append(transform(dict(scene))['img'])
    assert (moved[0] == moved[1]).all()
    assert (moved[0] != moved[2]).any()
    for key in ('img', *scene['seg_fields']):
        assert (scene[key] == _scene()[key]).all()


def test_random_numbers_can_be_shared_by_pictures():
    transform = ElasticDeformation()
    with cache_random_params(transform):
        first, second = transform(_scene()), transform(_scene())
    assert (first['img'] == second['img']).all()


def test_in_a_pipeline_under_mmseg(mmseg_scope):
    moved = Compose([dict(type='deepunetto_mm.ElasticDeformation', sigma=4)])(_scene())
    assert (moved['img'] != _scene()['img']).any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(sigma=-1), 'got -1, 3 and 1.0'),
        (dict(points=1), 'points at least 2'),
        (dict(prob=1.5), 'prob from 0 to 1'),
        (dict(interpolation='cubic'), "interpolation must be one of .* got 'cubic'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ElasticDeformation(**options)


def test_maps_of_another_size():
    scene = _scene()
    scene['gt_region_map'] = scene['gt_region_map'][1:]
    with pytest.raises(ValueError, match=r'gt_region_map is \(60, 83\) and the picture \(61, 83\)'):
        ElasticDeformation()(scene)


def test_repr():
    assert repr(ElasticDeformation()) == (
        "ElasticDeformation(sigma=10.0, points=3, prob=1.0, interpolation='bilinear', pad_val=None, seg_pad_val=255)"
    )
