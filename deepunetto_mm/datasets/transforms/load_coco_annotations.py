"""Annotations in COCO's format as maps: segmentation classes, regions and fine labels."""

from typing import Optional

import mmcv
import numpy as np
from mmengine import fileio

from deepunetto_mm.ops import encode_regions, mask_runs, number_regions
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError
from deepunetto_mm.utils.transform import Transform

from .region_files import put_annotations, some


@TRANSFORMS.register_module()
class LoadCocoAnnotations(Transform):
    """Draw the annotations of :class:`CocoFineDataset`. Replaces LoadAnnotations and LoadRegions.

    A pixel has one class and one region, but annotations overlap: smaller ones are on top; ties go to the later one in
    the file. Crowds and ignored categories are below all others. Each annotation is one region even if its visible part
    is in several pieces. An annotation without a visible pixel, hidden or smaller than a pixel, is not a region.

    Use it directly after ``LoadImageFromFile`` (in a test pipeline ``Resize`` may come between). A picture without
    ``coco``, for prediction only, is returned unchanged.

    Required keys: ``coco``, ``ori_shape``, ``seg_fields``, ``taxonomy``; ``seg_map_path`` of a panoptic map.

    Added keys: ``gt_seg_map``, ``gt_fine_map``, ``gt_region_map`` and ``regions``, as :class:`LoadComposedAnnotations`
    writes them; ids in the order of the annotations.

    Args:
        min_area: Regions with fewer pixels are left out, but their pixels remain in the other maps.
        backend_args: Options of mmengine's file backends.

    Raises:
        DataError: If the picture or its panoptic map has another size than the annotations, or the map has other
            segments.
    """

    def __init__(self, min_area: int = 1, backend_args: Optional[dict] = None) -> None:
        if min_area < 1:
            raise ValueError(f'LoadCocoAnnotations: min_area must be at least 1, got {min_area}')
        self.min_area = min_area
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the maps and the regions."""
        if 'coco' not in results:
            return results
        coco = results['coco']
        taxonomy: Taxonomy = results['taxonomy']
        _require_size(results)
        rows = (
            self._read_segments(results) if 'seg_map_path' in results else _paint(coco, taxonomy.composed_ignore_index)
        )
        # By row: 0 for no annotation.
        labels = np.array([coco['background'], *(item['label'] for item in coco['annotations'])])
        areas = np.bincount(rows.ravel(), minlength=len(labels))
        first = len(taxonomy.stuff_classes)
        kept = (labels >= first) & (labels != taxonomy.composed_ignore_index) & (areas >= self.min_area)
        ids = number_regions(int(kept.sum()))
        id_of_row = np.zeros(len(labels), np.int32)
        id_of_row[kept] = ids
        put_annotations(results, labels[rows], id_of_row[rows], ids, labels[kept] - first)
        return results

    def _read_segments(self, results: dict) -> np.ndarray:
        """(H, W) int64, s + 1 on segment s of the panoptic map, 0 elsewhere."""
        path, coco = results['seg_map_path'], results['coco']
        content = fileio.get(path, backend_args=self.backend_args)
        red, green, blue = mmcv.imfrombytes(content, channel_order='rgb').astype(np.int64).transpose(2, 0, 1)
        segment_map = red + 256 * green + 65536 * blue
        if segment_map.shape != coco['size']:
            raise DataError(
                f'{path}: the panoptic map has the shape {segment_map.shape}, but its picture in {coco["ann_file"]} '
                f'{coco["size"]}; make them equal',
                'size mismatch',
            )
        ids = np.array([item['id'] for item in coco['annotations']], np.int64)
        absent = ids[(ids == 0) | ~np.isin(ids, segment_map)]
        try:
            rows = encode_regions(segment_map, ids)
        except ValueError as error:
            raise DataError(
                f'{path}: {error} of segments in {coco["ann_file"]}; fix one or the other', 'region map'
            ) from error
        if len(absent):
            raise DataError(
                f'{path}: the segments {some(absent)} of {coco["ann_file"]} have no pixel; fix one or the other',
                'region map',
            )
        return rows


def _paint(coco: dict, ignore_index: int) -> np.ndarray:
    """(H, W) int64, a + 1 on the visible pixels of annotation a, 0 elsewhere."""
    annotations, (height, width) = coco['annotations'], coco['size']
    masks = [mask_runs(item['segmentation'], height, width) for item in annotations]
    areas = [sum(runs[1::2]) for runs in masks]
    above = [item['label'] != ignore_index for item in annotations]
    # Runs go down the columns. A mask takes the time of its runs, not that of the picture.
    columns = np.zeros(height * width, np.int64)
    for row in sorted(range(len(masks)), key=lambda row: (above[row], -areas[row])):
        ends = np.cumsum(masks[row]).tolist()
        for start, end in zip(ends[::2], ends[1::2]):
            columns[start:end] = row + 1
    return np.ascontiguousarray(columns.reshape(width, height).T)


def _require_size(results: dict) -> None:
    size, actual = results['coco']['size'], tuple(results['ori_shape'][:2])
    if actual != size:
        turned = (
            ' (a photograph is rotated by its EXIF orientation when read; annotations are not)'
            if actual == size[::-1]
            else ''
        )
        raise DataError(
            f'{results["img_path"]}: the picture is {actual[1]}x{actual[0]} pixels, but in '
            f'{results["coco"]["ann_file"]} {size[1]}x{size[0]}{turned}; make them equal',
            'size mismatch',
        )
