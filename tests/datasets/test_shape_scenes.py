import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepunetto_mm.datasets import shape_scenes
from deepunetto_mm.datasets.shape_scenes import HUE_STEPS, HUES, LUMA, SHAPES, draw_scene
from deepunetto_mm.ops import connected_regions


def _scene(index, seed=0, **options):
    return draw_scene(np.random.Generator(np.random.PCG64([seed, index])), **options)


@pytest.fixture(scope='module')
def scenes():
    return [_scene(index) for index in range(300)]


def test_luma_is_as_intended_to_half_a_grey_level(scenes):
    assert LUMA.sum() == pytest.approx(1)
    for scene in scenes:
        assert np.abs(scene.image @ LUMA - scene.luma).max() <= 0.5 + 1e-4
        assert scene.image.min() > 0
        assert scene.image.max() < 255  # nothing clipped


def test_maps_agree(scenes):
    for scene in scenes:
        ids = np.arange(1, len(scene.shapes) + 1)
        areas = np.bincount(scene.region_map.ravel(), minlength=len(ids) + 1)
        assert len(areas) == len(ids) + 1
        assert (areas[1:] >= 30).all()  # every shape is in sight
        assert (np.concatenate([[0], scene.shapes + 1])[scene.region_map] == scene.class_map).all()
        assert len(scene.hues) == len(ids)


def test_scenes_are_varied(scenes):
    counts = np.array([len(scene.shapes) for scene in scenes])
    assert 0.02 < (counts == 0).mean() < 0.12
    assert set(counts) == set(range(7))
    shapes, hues = (np.concatenate([getattr(scene, key) for scene in scenes]) for key in ('shapes', 'hues'))
    assert np.bincount(shapes, minlength=len(SHAPES)).min() > 0.28 * len(shapes)
    assert np.bincount(hues, minlength=len(HUES)).min() > 0.22 * len(hues)
    areas = np.concatenate([np.bincount(scene.region_map.ravel())[1:] for scene in scenes])
    assert np.percentile(areas, 95) > 4 * np.percentile(areas, 5)

    touching = same = 0
    for scene in scenes:
        for index in range(1, len(scene.shapes) + 1):
            around = cv2.dilate((scene.region_map == index).astype(np.uint8), np.ones((3, 3))) > 0
            others = np.setdiff1d(scene.region_map[around], [0, index])
            touching += len(others) > 0
            same += any(scene.shapes[other - 1] == scene.shapes[index - 1] for other in others)
    assert touching > 0.2 * len(shapes)
    # Some are connected though they are two, but few: components cannot part them.
    assert 0.005 < same / len(shapes) < 0.05


def test_in_a_crowd_many_are_connected_with_their_like(scenes):
    connected = total = 0
    for index in range(60):
        scene = _scene(index, max_shapes=20, crowded=True)
        table = connected_regions(scene.class_map, (-1, 0, 1, 2))
        for region in table.ids:
            shapes = np.unique(scene.region_map[table.region_map == region])
            connected += len(shapes) if len(shapes) > 1 else 0
        total += len(scene.shapes)
    assert connected / total > 0.2
    # Without it nothing else is drawn than ever.
    assert (_scene(3, crowded=False).image == scenes[3].image).all()


def test_shapes_are_in_one_piece_and_rings_have_holes(scenes):
    whole_rings = 0
    for scene in scenes:
        for index, shape in enumerate(scene.shapes, start=1):
            region = (scene.region_map == index).astype(np.uint8)
            assert cv2.connectedComponents(region)[0] == 2  # background and one piece
            whole_rings += SHAPES[shape] == 'ring' and cv2.connectedComponents(1 - region, connectivity=4)[0] == 3
    assert whole_rings > 0.2 * sum(len(scene.shapes) for scene in scenes)


def test_a_perfect_segmentation_finds_nearly_all(scenes):
    found = total = 0
    for scene in scenes:
        table = connected_regions(scene.class_map, (-1, 0, 1, 2))
        for index, shape in enumerate(scene.shapes, start=1):
            truth = scene.region_map == index
            candidates = [table.region_map == i for i in table.ids[table.labels == shape]]
            found += any((truth & region).sum() / (truth | region).sum() > 0.5 for region in candidates)
            total += 1
    assert found / total > 0.97


def test_the_luma_shows_the_shapes(scenes):
    """Inside and outside of every boundary differ by far more than the noise."""
    for scene in scenes:
        for index in range(1, len(scene.shapes) + 1):
            region = scene.region_map == index
            ring = (cv2.dilate(region.astype(np.uint8), np.ones((5, 5))) > 0) & (scene.region_map == 0)
            if ring.sum() > 30:
                assert abs(scene.luma[region].mean() - scene.luma[ring].mean()) > 8


def test_another_hue_gives_exactly_the_same_luma(monkeypatch):
    """In whole numbers: 5000 times the luma is 1063 R + 3576 G + 361 B."""
    weights = np.rint(5000 * LUMA).astype(int)
    assert weights / 5000 == pytest.approx(LUMA, abs=1e-12)
    before = [_scene(index) for index in range(20)]
    monkeypatch.setattr(shape_scenes, 'HUE_STEPS', np.roll(HUE_STEPS, 1, axis=0))
    for index, scene in enumerate(before):
        other = _scene(index)
        assert (other.image @ weights == scene.image @ weights).all()
        assert (other.region_map == scene.region_map).all()
        assert (other.image != scene.image).any(axis=2)[scene.region_map > 0].all()


def _luma_features(values, local):
    """Statistics of the luma in a region, down to the fractions that rounding R, G and B leaves."""
    histogram = np.histogram(values, 16, (60, 196))[0] / len(values)
    fractions = np.histogram(values % 1, 50, (0, 1))[0] / len(values)
    # The weights of the luma times 14 are nearly whole numbers, times 5000 they are.
    waves = [wave(2 * np.pi * times * values).mean() for times in (1, 14, 28, 42, 52) for wave in (np.cos, np.sin)]
    return [values.mean(), values.std(), local.std(), len(values), *histogram, *fractions, *waves]


def test_hue_cannot_be_told_from_the_luma_but_from_colour():
    luma_features, colour_features, hues = [], [], []
    for index in range(350):
        scene = _scene(index, seed=7)
        luma = scene.image @ LUMA
        local = luma - cv2.blur(luma, (3, 3))
        for number, hue in enumerate(scene.hues, start=1):
            inside = scene.region_map == number
            luma_features.append(_luma_features(luma[inside], local[inside]))
            colour_features.append(scene.image[inside].mean(axis=0) - luma[inside].mean())
            hues.append(hue)
    assert len(hues) > 1000
    observer = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    from_luma = cross_val_score(observer, np.array(luma_features), hues, cv=5).mean()
    from_colour = cross_val_score(observer, np.array(colour_features), hues, cv=5).mean()
    assert from_luma == pytest.approx(0.25, abs=0.05)
    assert from_colour > 0.99


def test_every_hue_occurs_in_the_clutter(scenes):
    """Red minus luma and blue minus luma of the clutter reach as far as those of the shapes, in all four directions."""
    clutter = np.concatenate([scene.image[scene.class_map == 0][::50] for scene in scenes]).astype(float)
    difference = clutter - (clutter @ LUMA)[:, None]
    for channel in (0, 2):
        assert ((difference[:, channel] > 25).mean(), (difference[:, channel] < -25).mean()) > (0.1, 0.1)


def test_size_and_errors():
    scene = _scene(3, size=(64, 200), max_shapes=2)
    assert scene.image.shape == (64, 200, 3)
    assert len(scene.shapes) <= 2
    for wrong in (dict(size=(63, 100)), dict(max_shapes=0)):
        with pytest.raises(ValueError, match='at least 64 pixels'):
            _scene(0, **wrong)
