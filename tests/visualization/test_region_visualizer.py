"""The drawing of a sample, pixel by pixel."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample

from deepunetto_mm.registry import VISUALIZERS
from deepunetto_mm.visualization import RegionVisualizer, drawing

HEIGHT, WIDTH = 40, 60
META = dict(
    classes=('sky', 'petal'),
    palette=[[0, 0, 0], [200, 100, 0]],
    taxonomy=dict(
        classes=['sky', 'petal'], groups=[dict(name='flower', members=['petal'], fine_classes=['rose', 'daisy'])]
    ),
)
ROSE, DAISY = drawing.distinct_colours(2)
GREY = (100, 100, 100)
TINTED = (130, 100, 70)  # 0.7 * 100 + 0.3 * (200, 100, 0)
# An L of 8 x 10 pixels and a rectangle of 10 x 12: (rows, columns).
L_PARTS = [(slice(10, 18), slice(5, 9)), (slice(14, 18), slice(9, 15))]
RECTANGLE = (slice(20, 30), slice(30, 42))


@pytest.fixture
def image():
    return np.full((HEIGHT, WIDTH, 3), 100, np.uint8)


@pytest.fixture
def visualizer():
    visualizer = RegionVisualizer(name='test', min_side=1)
    visualizer.dataset_meta = META
    return visualizer


def make_sample(prefixes=('gt', 'pred'), ids=(3, 700)):
    region_map = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
    for part in L_PARTS:
        region_map[0][part] = ids[0]
    region_map[0][RECTANGLE] = ids[1]
    sample = SegDataSample()
    for prefix in prefixes:
        regions = InstanceData(
            ids=torch.tensor(ids),
            labels=torch.tensor([0, 0]),
            fine_labels=torch.tensor([1, 0]),
            bboxes=torch.tensor([[5.0, 10, 15, 18], [30, 20, 42, 30]]),
        )
        if prefix == 'pred':
            regions.fine_scores = torch.tensor([[0.25, 0.75], [0.875, 0.125]])
        sample.set_data(
            {
                f'{prefix}_sem_seg': PixelData(data=(region_map > 0).long()),
                f'{prefix}_region_map': PixelData(data=region_map.clone()),
                f'{prefix}_regions': regions,
            }
        )
    return sample


def panels_of(drawn, count):
    """The panels without their titles, if there is no legend."""
    drawn = drawn[-HEIGHT:]
    assert drawn.shape[1] == count * WIDTH + (count - 1) * 4
    return [drawn[:, start : start + WIDTH] for start in range(0, count * (WIDTH + 4), WIDTH + 4)]


def colours_of(pixels):
    return {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}


def test_outlines_boxes_and_tints(visualizer, image):
    gt, pred = panels_of(visualizer.draw(image, make_sample(), with_labels=False), 2)
    np.testing.assert_array_equal(gt, pred)
    # The rectangle: its box is its outline.
    assert colours_of(gt[RECTANGLE]) == {ROSE, TINTED}
    assert (gt[20, 30:42] == ROSE).all()
    assert (gt[21:29, 31:41] == TINTED).all()
    # The L: outline inside the region, the box's corner outside it.
    assert tuple(gt[14, 9]) == tuple(gt[10, 5]) == tuple(gt[17, 14]) == DAISY
    assert tuple(gt[15, 10]) == TINTED
    assert tuple(gt[10, 14]) == DAISY
    assert tuple(gt[12, 11]) == GREY
    outside = gt.copy()
    outside[10:18, 5:15] = outside[20:30, 30:42] = 100
    assert colours_of(outside) == {GREY}


def test_no_tint_at_alpha_zero(image):
    visualizer = RegionVisualizer(name='test', min_side=1, alpha=0)
    visualizer.dataset_meta = META
    (gt,) = panels_of(visualizer.draw(image, make_sample(['gt']), with_labels=False), 1)
    assert colours_of(gt) == {GREY, ROSE, DAISY}


def test_ground_truth_is_left_and_prediction_right(visualizer, image):
    sample = make_sample()
    sample.pred_regions.fine_labels = torch.tensor([0, 1])
    bare, gt, pred = panels_of(visualizer.draw(image, sample, with_labels=False, with_image=True), 3)
    assert colours_of(bare) == {GREY}
    assert tuple(gt[20, 30]) == ROSE
    assert tuple(pred[20, 30]) == DAISY
    (only_pred,) = panels_of(visualizer.draw(image, sample, draw_gt=False, with_labels=False), 1)
    np.testing.assert_array_equal(only_pred, pred)


def test_padding_and_unlisted_regions_have_no_outline(visualizer, image):
    sample = make_sample(['gt'], ids=(3, 255))
    sample.gt_regions = sample.gt_regions[:1]
    sample.gt_sem_seg.data[:, 20:30, 30:42] = 255
    (gt,) = panels_of(visualizer.draw(image, sample, with_labels=False), 1)
    assert colours_of(gt[18:]) == {GREY}
    assert tuple(gt[10, 5]) == DAISY


def test_small_pictures_are_magnified_by_a_whole_factor(image):
    visualizer = RegionVisualizer(name='test', min_side=150)
    visualizer.dataset_meta = META
    drawn = visualizer.draw(image, make_sample(['gt']), with_labels=False)
    # 150 / 40 is 3.75: four times.
    assert drawn.shape[1] == 4 * WIDTH
    panel = drawn[-4 * HEIGHT :]
    assert (panel[80:120, 120:168][[0, -1]] == ROSE).all()
    assert (panel[90:110, 130:158] == TINTED).all()
    assert colours_of(panel[76:80]) == {GREY}


@pytest.mark.parametrize(
    ('height', 'width', 'factor'), [(88, 88, 5), (128, 128, 3), (1024, 2048, 1), (4, 1000, 2), (1, 1, 384)]
)
def test_magnification(height, width, factor):
    visualizer = RegionVisualizer(name='test')
    drawn = visualizer.draw(np.zeros((height, width, 3), np.uint8))
    title = drawing.title_bar('picture', width * factor, 21 if height == 1024 else 12).shape[0]
    assert drawn.shape == (title + height * factor, width * factor, 3)


def test_names_are_written_above_their_boxes_and_told_in_the_legend(image, monkeypatch):
    written = []
    monkeypatch.setattr(drawing, 'draw_text', lambda canvas, *what: written.append((what[0], what[1], what[3])))
    visualizer = RegionVisualizer(name='test')  # magnifies ten times
    visualizer.dataset_meta = META
    visualizer.draw(image, make_sample(['pred']))
    height = drawing.text_size('', 12)[1]
    # The larger box chooses first.
    assert written[:2] == [((300, 200 - height), 'rose 0.88', ROSE), ((50, 100 - height), 'daisy 0.75', DAISY)]
    assert [text for _, text, _ in written[2:]] == ['prediction', 'sky', 'petal', 'daisy', 'rose']
    assert [colour for *_, colour in written[3:]] == [(0, 0, 0), (200, 100, 0), DAISY, ROSE]


def test_in_a_crowd_tiny_regions_have_no_name(monkeypatch):
    side, count = 800, 60
    region_map = torch.zeros(1, side, side, dtype=torch.long)
    boxes = []
    for number in range(count):
        size = 40 if number < 10 else 5 if number < 50 else 3  # letters have 17 pixels
        row, column = number // 8, number % 8
        x, y = column * 100 + 10, row * 100 + 40
        boxes.append([x, y, x + size, y + size])
        region_map[0, y : y + size, x : x + size] = number + 1
    sample = SegDataSample()
    sample.set_data(
        dict(
            gt_region_map=PixelData(data=region_map),
            gt_regions=InstanceData(
                ids=torch.arange(1, count + 1),
                labels=torch.zeros(count, dtype=torch.long),
                fine_labels=torch.zeros(count, dtype=torch.long),
                bboxes=torch.tensor(boxes).float(),
            ),
        )
    )
    written = []
    monkeypatch.setattr(drawing, 'draw_text', lambda canvas, place, text, *rest: written.append(text))
    cut, shorten = [], drawing.shorten
    monkeypatch.setattr(drawing, 'shorten', lambda text, *rest: cut.append(text) or shorten(text, *rest))
    for crowd, expected in ((40, 10), (100, 50)):
        written.clear()
        cut.clear()
        visualizer = RegionVisualizer(name='test', crowd=crowd)
        visualizer.dataset_meta = META
        visualizer.draw(np.zeros((side, side, 3), np.uint8), sample)
        assert written.count('rose') - 1 == expected  # and once in the legend
        assert cut.count('rose') - 1 == expected  # measuring a text takes longer than leaving it out


def test_a_fragment_has_no_name_in_a_magnified_picture(monkeypatch):
    region_map = torch.zeros(1, 128, 128, dtype=torch.long)
    region_map[0, 20:24, 20:24] = 1  # 12 pixels across where it is drawn, as high as a letter
    region_map[0, 60:65, 60:62] = 2
    regions = InstanceData(
        ids=torch.tensor([1, 2]),
        labels=torch.tensor([0, 0]),
        fine_labels=torch.tensor([0, 1]),
        bboxes=torch.tensor([[20.0, 20, 24, 24], [60, 60, 62, 65]]),
    )
    sample = SegDataSample()
    sample.set_data(dict(gt_region_map=PixelData(data=region_map), gt_regions=regions))
    written = []
    monkeypatch.setattr(drawing, 'draw_text', lambda canvas, place, text, *rest: written.append(text))
    visualizer = RegionVisualizer(name='test')
    visualizer.dataset_meta = META
    drawn = visualizer.draw(np.zeros((128, 128, 3), np.uint8), sample)
    assert drawn.shape[1] == 3 * 128
    named = [META['taxonomy']['groups'][0]['fine_classes'][label] for label in (0, 1)]
    assert [written.count(name) for name in named] == [1, 2]  # once in the legend


@pytest.mark.parametrize('shape', [(88, 88), (1024, 2048), (3, 200), (200, 3)])
def test_no_regions(shape):
    sample = SegDataSample()
    sample.set_data(
        dict(
            pred_sem_seg=PixelData(data=torch.zeros(1, *shape, dtype=torch.long)),
            pred_region_map=PixelData(data=torch.zeros(1, *shape, dtype=torch.long)),
            pred_regions=InstanceData(
                ids=torch.zeros(0, dtype=torch.long),
                labels=torch.zeros(0, dtype=torch.long),
                scores=torch.zeros(0),
                fine_labels=torch.zeros(0, dtype=torch.long),
                fine_scores=torch.zeros(0, 2),
                bboxes=torch.zeros(0, 4),
            ),
        )
    )
    visualizer = RegionVisualizer(name='test', min_side=1)
    visualizer.dataset_meta = META
    drawn = visualizer.draw(np.full((*shape, 3), 100, np.uint8), sample, with_labels=False)
    assert (drawn[-shape[0] :] == 100).all()


def test_plain_segmentation_sample(visualizer, image):
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.ones(1, HEIGHT, WIDTH, dtype=torch.long))
    visualizer.dataset_meta = dict(classes=('a', 'b'), palette=[[0, 0, 0], [200, 100, 0]])
    (pred,) = panels_of(visualizer.draw(image, sample, with_labels=False), 1)
    assert colours_of(pred) == {TINTED}


def test_weights_have_a_panel_and_their_range_in_the_legend(visualizer, image, monkeypatch):
    sample = make_sample()
    weights = torch.full((1, HEIGHT, WIDTH), 0.5)
    weights[0, 10, 20] = 10.5
    sample.gt_weight_map = PixelData(data=weights)
    gt, pred, heat = panels_of(visualizer.draw(image, sample, with_labels=False), 3)
    np.testing.assert_array_equal(gt, pred)
    low, high = drawing.heat_map(np.array([0.5, 10.5]), 0.5, 10.5).tolist()
    assert heat[10, 20].tolist() == high
    heat[10, 20] = low
    assert colours_of(heat) == {tuple(low)}

    written = {}
    note = lambda canvas, place, text, size, colour, file: written.setdefault(text, colour)  # noqa: E731
    monkeypatch.setattr(drawing, 'draw_text', note)
    visualizer.draw(image, sample, draw_pred=False)
    assert list(written)[-5:] == ['weight 0.5', 'weight 3', 'weight 5.5', 'weight 8', 'weight 10.5']
    assert (written['weight 0.5'], written['weight 10.5']) == (tuple(low), tuple(high))


def test_equal_weights_are_one_entry_of_the_legend(image, monkeypatch):
    sample, written = SegDataSample(gt_weight_map=PixelData(data=torch.ones(1, HEIGHT, WIDTH))), []
    monkeypatch.setattr(drawing, 'draw_text', lambda canvas, place, text, *rest: written.append(text))
    drawn = RegionVisualizer(name='test').draw(image, sample)  # magnified ten times
    assert drawn.shape[1] == 10 * WIDTH
    assert written == ['weights', 'weight 1']


def test_a_class_and_a_fine_class_of_one_name_are_two_entries_of_the_legend(image, monkeypatch):
    visualizer, entries = RegionVisualizer(name='test'), []
    monkeypatch.setattr(
        drawing, 'legend', lambda own, width, *rest: entries.extend(own) or np.zeros((0, width, 3), np.uint8)
    )
    groups = [dict(name='flower', members=['flower'], fine_classes=['flower', 'rose'])]
    taxonomy = dict(classes=['background', 'flower'], groups=groups)
    colours = dict(palette=[[0, 0, 0], [200, 100, 0]], fine_palette=[[1, 2, 3], [4, 5, 6]])
    visualizer.dataset_meta = dict(classes=('background', 'flower'), taxonomy=taxonomy, **colours)
    visualizer.draw(image, make_sample(), draw_pred=False)
    assert [colour for name, colour in entries if name == 'flower'] == [(200, 100, 0), (1, 2, 3)]


def test_weights_belong_to_the_ground_truth(visualizer, image):
    sample = SegDataSample(gt_weight_map=PixelData(data=torch.ones(1, HEIGHT, WIDTH)))
    (bare,) = panels_of(visualizer.draw(image, sample, draw_gt=False), 1)
    assert colours_of(bare) == {GREY}


def test_centres_and_vectors_have_panels(visualizer, image):
    nan = float('nan')
    values = torch.tensor([[0, 0, 1, nan], [2.0, -4, nan, nan], [0, 0, nan, nan]]).view(3, 1, 4)
    black = torch.tensor([0, nan, nan]).view(3, 1, 1).repeat(1, HEIGHT, WIDTH)
    black[:, :1, :4] = values
    sample = SegDataSample()
    sample.set_data({f'{prefix}_centre_map': PixelData(data=black) for prefix in ('gt', 'pred')})
    for panel in panels_of(visualizer.draw(image, sample, with_labels=False), 2):
        # Half as long to the right, to the left, a centre, unknown.
        assert panel[0, :4].tolist() == [[128, 0, 0], [0, 255, 255], [255] * 3, [64] * 3]
        assert not panel[1:].any()
    (alone,) = panels_of(visualizer.draw(image, sample, draw_pred=False, with_labels=False), 1)
    assert np.array_equal(alone, panel)
    with pytest.raises(ValueError, match='gt_centre_map has .* resize the picture'):
        visualizer.draw(image[:-1], sample)


def test_labels_of_a_binary_segmentation_are_floats(visualizer, image):
    sample = make_sample(prefixes=('pred',))
    expected = visualizer.draw(image, sample)
    sample.pred_sem_seg.data = sample.pred_sem_seg.data.float()
    assert (visualizer.draw(image, sample) == expected).all()


def test_without_names_of_anything(image):
    assert RegionVisualizer(name='test').draw(image, make_sample()).shape[1] == 2 * 10 * WIDTH + 4


def test_maps_of_another_size_than_the_picture(visualizer, image):
    with pytest.raises(ValueError, match='gt_sem_seg has 40x60 pixels, the picture 20x60'):
        visualizer.draw(image[:20], make_sample())


def test_picture_that_is_no_rgb(visualizer, image):
    with pytest.raises(ValueError, match='float32'):
        visualizer.draw(image.astype(np.float32))


def test_alpha_out_of_range():
    with pytest.raises(ValueError, match='alpha'):
        RegionVisualizer(name='test', alpha=1.5)


def test_writes_through_backends_and_to_files(tmp_path, image):
    backends = [dict(type='LocalVisBackend')]
    visualizer = VISUALIZERS.build(
        dict(type='RegionVisualizer', name='backends', vis_backends=backends, save_dir=str(tmp_path))
    )
    visualizer.dataset_meta = META
    assert isinstance(visualizer, Visualizer)
    expected = visualizer.draw(image, make_sample())
    visualizer.add_datasample('val_1', image, make_sample(), step=7)
    visualizer.add_datasample('val_2', image, make_sample(), out_file=str(tmp_path / 'file' / 'x.png'))
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.png'))
    assert written == ['file/x.png', 'vis_data/vis_image/val_1_7.png']
    for name in written:
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / name))[..., ::-1], expected)
    np.testing.assert_array_equal(visualizer.get_image().shape, expected.shape)


def test_large_pictures_are_thinned_out(image):
    """Of 40 x 60 pixels at most 30 wide: every second one, as if the picture had come so."""
    visualizer = RegionVisualizer(name='thin', min_side=1, max_side=30)
    visualizer.dataset_meta = META
    sample = make_sample()
    sample.set_data(dict(gt_weight_map=PixelData(data=torch.rand(1, HEIGHT, WIDTH))))
    small = SegDataSample()
    for field, value in sample.all_items():
        if field.endswith('regions'):
            value = InstanceData(**{**dict(value.items()), 'bboxes': value.bboxes / 2})
        else:
            value = PixelData(data=value.data[:, ::2, ::2].clone())
        small.set_data({field: value})
    drawn = visualizer.draw(image, sample, with_image=True)
    assert np.array_equal(drawn, visualizer.draw(image[::2, ::2].copy(), small, with_image=True))
    assert drawn.shape[1] == 4 * WIDTH // 2 + 3 * 4
    assert sample.pred_regions.bboxes[0].tolist() == [5, 10, 15, 18]
    assert np.array_equal(visualizer.draw(image), visualizer.draw(image[::2, ::2].copy()))
