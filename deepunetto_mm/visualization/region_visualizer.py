"""Draws segmentation, regions and their names on the picture."""

from typing import Any, Optional, Sequence

import mmcv
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image

from deepunetto_mm.registry import VISUALIZERS
from deepunetto_mm.utils.fonts import USUAL, find_font

from . import drawing
from .drawing import Colour
from .label_names import LabelNames

_FIELDS = ('sem_seg', 'region_map', 'regions')
_GAP = 4  # pixels between panels
_SHADE = 32  # grey level around the panels
_LEGEND_STEPS = 5  # weights in the legend
_FRAGMENT = 5  # pixels of the picture: a region that is smaller in both directions has no name


@VISUALIZERS.register_module()
class RegionVisualizer(SegLocalVisualizer):
    """Draws annotation and prediction side by side: classes as tints, regions as outlines, boxes and names.

    ::

        ┌ ground truth ───────────┬ prediction ─────────────┐
        │ the picture, tinted by  │ the same from           │
        │ gt_sem_seg, outlines of │ pred_sem_seg,           │
        │ gt_region_map, names of │ pred_region_map,        │
        │ gt_regions              │ pred_regions            │
        ├─────────────────────────┴─────────────────────────┤
        │ names of the classes on their colours             │
        └───────────────────────────────────────────────────┘

    Weights of the pixels, ``gt_weight_map``, have a separate panel: a heat map from the least to the greatest weight of
    the sample, with a legend. So have centres and the vectors to them, ``gt_centre_map`` and ``pred_centre_map``
    (:func:`drawing.centre_map`).

    Small pictures are magnified by an integer factor, so that text can be read; of large ones only every second, third,
    ... pixel is drawn. Outlines and boxes have the colour of the fine class, grey if it is not known. A name without a
    free place is left out. Regions of fewer than 5 pixels in both directions, or smaller than a quarter of a letter,
    have no name, with more than ``crowd`` regions also those smaller than a letter; the legend lists their classes.
    Missing fields of a sample are skipped, so samples of plain mmseg datasets and models work too. Names and colours
    come from ``dataset_meta``: ``classes``, ``palette`` (RGB), ``taxonomy`` and optionally ``fine_palette`` (RGB);
    mmengine sets it at the start of every loop. Without a palette the class ``background`` is not tinted. It is a
    ``SegLocalVisualizer``, because mmseg's inferencer and tools accept no other.

    Args:
        name: Name of the instance.
        image: The initial picture, (H, W, 3) uint8 RGB.
        vis_backends: Backends for pictures and scalars, as in mmengine.
        save_dir: Folder for all backends.
        alpha: Share of the class's colour in the tint, from 0 to 1. Black classes, usually the background, are not
            tinted.
        min_side: Pictures whose shorter side has fewer pixels are magnified to at least this size, but never
            to more than 2048 pixels on the longer side.
        crowd: With more regions than this, those smaller than a letter get no name.
        max_side: Pictures whose longer side has more pixels are subsampled.
        font: File or family of the font, such as ``'NotoSansCJK-Regular.ttc'``. Missing letters are drawn in
            matplotlib's font or another installed one that has them; the same holds for all letters by default.

    Raises:
        ValueError: If ``alpha`` is not in 0..1, or there is no such font.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: Optional[np.ndarray] = None,
        vis_backends: Optional[list[dict]] = None,
        save_dir: Optional[str] = None,
        alpha: float = 0.3,
        min_side: int = 384,
        crowd: int = 40,
        max_side: int = 4096,
        font: Optional[str] = None,
    ) -> None:
        super().__init__(name, image, vis_backends, save_dir, alpha=alpha)
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha must lie in 0..1, got {alpha}')
        self.min_side = min_side
        self.crowd = crowd
        self.max_side = max_side
        self.font_file = find_font(font) if font else USUAL

    def set_dataset_meta(
        self,
        classes: Optional[Sequence[str]] = None,
        palette: Optional[Sequence[Sequence[int]]] = None,
        dataset_name: Optional[str] = None,
    ) -> None:
        """As in mmseg, but without names of Cityscapes as a default.

        Args:
            classes: Names of the segmentation classes.
            palette: Their colours, RGB.
            dataset_name: A dataset of mmseg, used for whichever of the two is not given.
        """
        if dataset_name is not None:
            super().set_dataset_meta(classes, palette, dataset_name)
        elif classes is not None or palette is not None:
            self.dataset_meta = dict(classes=classes, palette=palette)

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Optional[SegDataSample] = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: Optional[str] = None,
        step: int = 0,
        with_labels: bool = True,
        with_image: bool = False,
    ) -> None:
        """Draw a sample, and show it, write it to a file, or pass it to all backends.

        Args:
            name: Title of the window; name of the picture in the backends.
            image: (H, W, 3) uint8 RGB, in the frame of the sample's maps.
            data_sample: What to draw; see :meth:`draw`.
            draw_gt, draw_pred, with_labels, with_image: As of :meth:`draw`.
            show: Whether to open a window.
            wait_time: Seconds that the window stays open; 0 to wait for a key.
            out_file: File to write. If None, the backends get the picture.
            step: Step at which the backends record it.
        """
        drawn = self.draw(image, data_sample, draw_gt, draw_pred, with_labels, with_image)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def draw(
        self,
        image: np.ndarray,
        data_sample: Optional[SegDataSample] = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        with_labels: bool = True,
        with_image: bool = False,
    ) -> np.ndarray:
        """Draw a sample and return the drawing.

        Args:
            image: (H, W, 3) uint8 RGB.
            data_sample: Fields ``{gt,pred}_sem_seg``, ``{gt,pred}_region_map``, ``{gt,pred}_regions``,
                ``{gt,pred}_centre_map`` and ``gt_weight_map``, each optional, in the frame of ``image``.
            draw_gt: Whether to draw the ground truth.
            draw_pred: Whether to draw the prediction.
            with_labels: Whether to write names and the legend.
            with_image: Whether to put the bare picture to the left.

        Returns:
            (h, w, 3) uint8 RGB: panels side by side under their titles, the legend below.

        Raises:
            ValueError: If the picture is not uint8 RGB, or a map of the sample has another size.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f'the picture must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}')
        names = LabelNames.from_meta(self.dataset_meta)
        step = -(-max(image.shape[:2]) // self.max_side)
        if step > 1:
            image, data_sample = _thin_out(image, data_sample, step)
        # At most 2048 pixels, for narrow strips: 10 x 2000 pixels would otherwise become 78000 wide.
        factor = max(min(-(-self.min_side // min(image.shape[:2])), 2048 // max(image.shape[:2])), 1)
        font_size = min(max(round(min(image.shape[:2]) * factor / 48), 12), 40)

        panels: dict[str, np.ndarray] = {}
        legend: list[tuple[str, Colour]] = []
        for prefix, title, wanted in (('gt', 'ground truth', draw_gt), ('pred', 'prediction', draw_pred)):
            if wanted and data_sample is not None and any(f'{prefix}_{field}' in data_sample for field in _FIELDS):
                panels[title], entries = self._draw_panel(
                    image, data_sample, prefix, names, factor, font_size, with_labels
                )
                legend += entries
        weights = _map_of(data_sample, 'gt_weight_map', image) if draw_gt and data_sample is not None else None
        if weights is not None:
            steps = np.linspace(weights.min(), weights.max(), _LEGEND_STEPS)
            panel, colours = (drawing.heat_map(values, steps[0], steps[-1]) for values in (weights, steps))
            panels['weights'] = drawing.magnify(panel, factor)
            legend += [(f'weight {step:.3g}', tuple(colour)) for step, colour in zip(steps, colours.tolist())]
        for field, title, wanted in (
            ('gt_centre_map', 'centres', draw_gt),
            ('pred_centre_map', 'predicted centres', draw_pred),
        ):
            if wanted and data_sample is not None and field in data_sample:
                values = _numpy(data_sample.get(field).data)
                _require_size(field, values.shape[1:], image)
                panels[title] = drawing.magnify(drawing.centre_map(values), factor)
        if with_image or not panels:
            panels = {'picture': drawing.magnify(image, factor), **panels}

        titled = [
            np.concatenate([drawing.title_bar(title, panel.shape[1], font_size, self.font_file), panel])
            for title, panel in panels.items()
        ]
        gap = np.full((titled[0].shape[0], _GAP, 3), _SHADE, np.uint8)
        drawn = np.concatenate([part for panel in titled for part in (gap, panel)][1:], axis=1)
        if with_labels:
            names_below = drawing.legend(list(dict.fromkeys(legend)), drawn.shape[1], font_size, self.font_file)
            drawn = np.concatenate([drawn, names_below])
        return drawn

    def _draw_panel(
        self,
        image: np.ndarray,
        sample: SegDataSample,
        prefix: str,
        names: LabelNames,
        factor: int,
        font_size: int,
        with_labels: bool,
    ) -> tuple[np.ndarray, list[tuple[str, Colour]]]:
        """One drawing of the picture, magnified, and the entries of its legend."""
        panel = image
        legend: list[tuple[str, Colour]] = []
        sem_seg = _map_of(sample, f'{prefix}_sem_seg', image)
        if sem_seg is not None:
            sem_seg = sem_seg.astype(np.int64)  # for one channel mmseg writes labels 0.0 and 1.0
            panel = drawing.tint(panel, sem_seg, names.palette, self.alpha)
            present = [label for label in np.unique(sem_seg).tolist() if 0 <= label < len(names.classes)]
            legend = [(names.classes[label], names.palette[label]) for label in present]
        panel = drawing.magnify(panel, factor)

        region_map = _map_of(sample, f'{prefix}_region_map', image)
        regions = sample.get(f'{prefix}_regions')
        if region_map is None or regions is None or len(regions) == 0:
            return panel, legend
        fine_names, colours, texts = names.describe(regions)
        legend += zip(fine_names, colours)

        rows = drawing.magnify(_rows_at_pixels(region_map, _numpy(regions.ids)), factor)
        marked = drawing.outline(rows, thickness=min(max(round(min(panel.shape[:2]) / 200), 1), 3))
        panel[marked] = np.asarray(colours, np.uint8)[rows[marked] - 1]

        canvas = Image.fromarray(panel)
        boxes = _numpy(regions.bboxes).astype(np.float64).reshape(-1, 4) * factor
        for box, colour in zip(boxes, colours):
            drawing.draw_box(canvas, box, colour)
        if with_labels:
            self._write_names(canvas, boxes, colours, texts, font_size, factor)
        return np.array(canvas), legend

    def _write_names(
        self,
        canvas: Image.Image,
        boxes: np.ndarray,
        colours: list[Colour],
        texts: list[str],
        font_size: int,
        factor: int,
    ) -> None:
        sides = boxes[:, 2:] - boxes[:, :2]
        order = np.argsort(-sides.prod(axis=1), kind='stable').tolist()
        least = max(font_size if len(boxes) > self.crowd else font_size / 4, _FRAGMENT * factor)
        order = [row for row in order if sides[row].max() >= least]
        shown = [drawing.shorten(texts[row], font_size, canvas.width, self.font_file) for row in order]
        sizes = [drawing.text_size(text, font_size, self.font_file) for text in shown]
        places = drawing.place_labels(boxes[order], sizes, canvas.width, canvas.height)
        for row, text, place in zip(order, shown, places):
            if place is not None:
                drawing.draw_text(canvas, place, text, font_size, colours[row], self.font_file)


def _numpy(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().cpu().numpy()


def _map_of(sample: SegDataSample, field: str, image: np.ndarray) -> Optional[np.ndarray]:
    """The (H, W) map of a field, or None if the sample does not have it."""
    if field not in sample:
        return None
    values = _numpy(sample.get(field).data)
    values = values[0] if values.ndim == 3 else values
    _require_size(field, values.shape, image)
    return values


def _require_size(field: str, size: Sequence[int], image: np.ndarray) -> None:
    if tuple(size) != image.shape[:2]:
        raise ValueError(
            f'{field} has {size[0]}x{size[1]} pixels, the picture {image.shape[0]}x{image.shape[1]}; resize the '
            'picture to the frame of the sample'
        )


def _thin_out(
    image: np.ndarray, sample: Optional[SegDataSample], step: int
) -> tuple[np.ndarray, Optional[SegDataSample]]:
    """Every ``step``-th pixel of a picture and of the sample's fields to draw."""
    thin = None if sample is None else SegDataSample()
    for field in (f'{prefix}_{field}' for prefix in ('gt', 'pred') for field in (*_FIELDS, 'weight_map', 'centre_map')):
        if sample is None or thin is None or field not in sample:
            continue
        if field.endswith('regions'):
            regions = sample.get(field)
            thin.set_data({field: InstanceData(**{**dict(regions.items()), 'bboxes': regions.bboxes / step})})
        elif field.endswith('centre_map'):
            thin.set_data({field: PixelData(data=sample.get(field).data[:, ::step, ::step])})
        else:
            values = _map_of(sample, field, image)
            assert values is not None
            thin.set_data({field: PixelData(data=torch.from_numpy(values[None, ::step, ::step].copy()))})
    return np.ascontiguousarray(image[::step, ::step]), thin


def _rows_at_pixels(region_map: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(H, W) uint16 or int32: r + 1 at the pixels of region ``ids[r]``, 0 where no listed one is, as on padding."""
    order = np.argsort(ids)
    position = np.searchsorted(ids[order], region_map).clip(max=len(ids) - 1)
    return np.where(ids[order][position] == region_map, order[position] + 1, 0).astype(
        np.uint16 if len(ids) < 2**16 else np.int32
    )
