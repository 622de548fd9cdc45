"""Predictions in COCO's formats, and their average precision by COCO's evaluation."""

import io
import json
import math
import os
import unicodedata
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deepunetto_mm.evaluation.counting import encode_labels
from deepunetto_mm.evaluation.inputs import confidences, dataset_taxonomy, require_fields
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.ops import check_segmentation, encode_masks, encode_regions, restore_numbers
from deepunetto_mm.registry import METRICS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.files import read_json, write_png, write_whole

_FIGURES = ('AP', 'AP50', 'AP75', 'AP_small', 'AP_medium', 'AP_large')  # the order of COCOeval.stats


@METRICS.register_module()
class CocoMetric(PictureMetric):
    """Average precision of the objects by pycocotools, and predictions in COCO's formats.

    .. code-block:: none

        output_dir/
          instances.json                  results: image_id, category_id, segmentation, score, bbox of each object
          panoptic.json                   panoptic annotations: segments_info of each picture
          panoptic/000000000139.png       their maps, a segment's id at each pixel, R + 256 G + 65536 B

    It is a metric and not a file converter, because only here the scores, the ids of the pictures, and the predictions
    of all processes are available. Objects are regions: the category has the name of their fine class, and the
    confidence is the score of the region times that of the fine class. A panoptic map also has a segment for each stuff
    class that is a category; other pixels are void, 0. Files are written atomically, the JSON files after the maps.

    Reported, in percent rounded to two decimals: ``coco/AP``, the mean over categories and the IoU thresholds 0.50,
    0.55 … 0.95; ``coco/AP50`` and ``coco/AP75``, at one threshold; ``coco/AP_small``, ``coco/AP_medium`` and
    ``coco/AP_large``, of objects below 32² pixels, up to 96², and above. The ground truth is that of ``ann_file``,
    with overlapping masks and crowds as annotated, for the tested pictures and the categories that are fine classes of
    the taxonomy; at most the 100 most confident objects per picture and category count. NaN if nothing is annotated.

    With several processes each writes its own maps, so they must share the disk.

    Args:
        ann_file: The file that the dataset reads, relative to ``data_root``; with ``format_only`` it needs no
            annotations, and may be panoptic.
        data_root: Folder that ``ann_file`` is relative to.
        output_dir: Folder of the predictions. Existing files of the same names are replaced. None writes nothing.
        format_only: Write the predictions and report nothing; needs no ground truth.
        crowd_objects: Count annotations with ``iscrowd=1`` as objects, as the option of ``CocoFineDataset``.
        options: ``collect_device``, ``prefix`` (None for ``coco``) and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ValueError: If ``format_only`` has no ``output_dir``.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        output_dir: Optional[str] = None,
        format_only: bool = False,
        crowd_objects: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if format_only and output_dir is None:
            raise ValueError('CocoMetric: format_only=True writes predictions; set their folder as output_dir')
        self.ann_file = os.path.join(data_root, ann_file)
        self.output_dir = output_dir
        self.format_only = format_only
        self.crowd_objects = crowd_objects

    def shared(self) -> tuple[Taxonomy, dict[str, int]]:
        """The taxonomy, and category ids by name.

        Raises:
            ValueError: If ``ann_file`` cannot be used; the message names it.
            TaxonomyError: If the taxonomy is missing, or has a fine class that is not a category.
        """
        return dataset_taxonomy(self), self._category_ids()

    def record(self, sample: dict, shared: tuple[Taxonomy, dict[str, int]]) -> dict[str, Any]:
        """Encode the prediction of a picture, and write its panoptic map.

        Args:
            sample: With ``img_id``, ``pred_fine_seg``, ``pred_region_map`` and ``pred_regions`` in the frame of the
                original picture.
            shared: As :meth:`shared` returns it.

        Returns:
            ``image_id``, the ``instances``, and the ``segments`` if they are written.

        Raises:
            ValueError: If a field is missing, has other labels than the taxonomy, or is not of the picture's size.
        """
        taxonomy, category_ids = shared
        require_fields(sample, ('pred_fine_seg', 'pred_region_map', 'pred_regions'))
        image = self._truth.imgs.get(sample.get('img_id'))
        if image is None:
            raise ValueError(
                f'img_id={sample.get("img_id")!r} is not an image of {self.ann_file}; deepunetto_mm.CocoFineDataset '
                'over this file, with deepunetto_mm.PackRegionInputs, gives the ids'
            )
        region_map = sample['pred_region_map']['data'].squeeze(0).int().cpu().numpy()
        if region_map.shape != (image['height'], image['width']):
            raise ValueError(
                f'the prediction has the shape {region_map.shape}, but the picture in {self.ann_file} '
                f'{(image["height"], image["width"])}'
            )
        regions = sample['pred_regions']
        ids, scores = regions['ids'].cpu().numpy(), confidences(regions).tolist()
        categories = [category_ids[taxonomy.fine_classes[fine]] for fine in regions['fine_labels'].tolist()]
        codes = encode_masks(region_map, ids)
        instances = [
            dict(
                image_id=image['id'],
                category_id=category,
                segmentation=code,
                score=score,
                bbox=coco_mask.toBbox(code).tolist(),
            )
            for category, code, score in zip(categories, codes, scores)
            if coco_mask.area(code)
        ]
        record = dict(image_id=image['id'], instances=instances)
        if self.output_dir is not None:
            composed = sample['pred_fine_seg']['data'].squeeze(0).cpu().numpy()
            segment_map = encode_regions(region_map, ids)
            codes_of_pixels = encode_labels(composed, len(taxonomy.composed_classes), taxonomy.composed_ignore_index)
            for label, name in enumerate(taxonomy.stuff_classes):
                if name in category_ids:
                    categories.append(category_ids[name])
                    segment_map[(codes_of_pixels == label) & (region_map == 0)] = len(categories)
            record['segments'] = self._write_map(image['id'], segment_map, categories)
        return record

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the JSON files of the records of all pictures, and evaluate them."""
        objects = [item for record in results for item in record['instances']]
        image_ids = [record['image_id'] for record in results]
        if self.output_dir is not None:
            folder = Path(self.output_dir)
            write_whole(folder / 'panoptic.json', json.dumps(self._panoptic(results)).encode())
            write_whole(folder / 'instances.json', json.dumps(objects).encode())
        if self.format_only:
            return {}
        with redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._truth, self._as_annotations(objects), 'segm')
            evaluation.params.imgIds = image_ids
            fine_classes = dataset_taxonomy(self).fine_classes
            evaluation.params.catIds = [id_ for name, id_ in self._category_ids().items() if name in fine_classes]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        # -1 means that nothing is annotated.
        return {
            name: round(100 * float(value), 2) if value >= 0 else math.nan
            for name, value in zip(_FIGURES, evaluation.stats)
        }

    @cached_property
    def _truth(self) -> COCO:
        """The annotation file as an object of pycocotools."""
        content = read_json(self.ann_file)
        restore_numbers(content)
        if not isinstance(content, dict) or not {'images', 'categories'} <= set(content):
            raise ValueError(f"{self.ann_file}: not an annotation file of COCO, which has 'images' and 'categories'")
        annotations = content.pop('annotations', None)
        if not self.format_only:
            if annotations is None or any('segments_info' in item for item in annotations):
                raise ValueError(
                    f'{self.ann_file}: no annotations of instances; use the file that has them, or only write the '
                    'predictions with format_only=True (tools/test.py --format-only)'
                )
            content['annotations'] = annotations
        for category in content['categories']:
            category['name'] = unicodedata.normalize('NFC', category['name'])  # as those of the taxonomy
        truth = COCO()
        truth.dataset = content
        with redirect_stdout(io.StringIO()):
            truth.createIndex()
        # Missing in files of many programs, but required by COCOeval.
        for item in truth.dataset.get('annotations', []):
            image = truth.imgs.get(item['image_id'])
            if image is None:
                raise ValueError(
                    f'{self.ann_file}: annotation {item["id"]} is of image {item["image_id"]!r}, which is not in the '
                    'list of images; remove the annotation, or list the image'
                )
            try:
                check_segmentation(item.get('segmentation'), image['height'], image['width'])
            except ValueError as error:  # pycocotools would not check
                raise ValueError(f'{self.ann_file}: annotation {item["id"]}: {error}') from error
            crowd = item.get('iscrowd') and not self.crowd_objects
            item['iscrowd'] = int(bool(crowd or item.get('ignore')))  # COCOeval overwrites 'ignore'
            if not isinstance(item.get('area'), (int, float)):
                item['area'] = float(coco_mask.area(truth.annToRLE(item)))
        return truth

    def _category_ids(self) -> dict[str, int]:
        """Category id by name."""
        category_ids = {category['name']: category['id'] for category in self._truth.dataset['categories']}
        strangers = [name for name in dataset_taxonomy(self).fine_classes if name not in category_ids]
        if strangers:
            raise TaxonomyError(
                f'CocoMetric: the fine classes {strangers} are not categories of {self.ann_file}; it has '
                f'{list(category_ids)}'
            )
        return category_ids

    def _write_map(self, image_id: int, segment_map: np.ndarray, categories: list[int]) -> dict[str, Any]:
        """Write a map, (H, W) with s + 1 on the segment of ``categories[s]``, and describe it as in panoptic.json."""
        ids = np.arange(1, len(categories) + 1)
        path = Path(str(self.output_dir)) / 'panoptic' / f'{image_id:012d}.png'
        channels = np.stack([segment_map >> 16, segment_map >> 8, segment_map], axis=2)
        write_png(path, (channels & 255).astype(np.uint8))
        segments = [
            dict(
                id=int(id_),
                category_id=category,
                area=int(coco_mask.area(code)),
                bbox=coco_mask.toBbox(code).tolist(),
                iscrowd=0,
            )
            for id_, category, code in zip(ids, categories, encode_masks(segment_map, ids))
            if coco_mask.area(code)
        ]
        return dict(image_id=image_id, file_name=path.name, segments_info=segments)

    def _panoptic(self, results: list) -> dict[str, Any]:
        """Contents of panoptic.json."""
        stuff = dataset_taxonomy(self).stuff_classes
        return dict(
            images=[self._truth.imgs[record['image_id']] for record in results],
            categories=[
                dict(category, isthing=int(category['name'] not in stuff))
                for category in self._truth.dataset['categories']
            ],
            annotations=[record['segments'] for record in results],
        )

    def _as_annotations(self, objects: list) -> COCO:
        """Results as annotations; not by COCO.loadRes, which fails without results and uses the area of the box."""
        found = COCO()
        found.dataset = dict(
            images=self._truth.dataset['images'],
            categories=self._truth.dataset['categories'],
            annotations=[
                dict(item, id=number, area=float(coco_mask.area(item['segmentation'])), iscrowd=0)
                for number, item in enumerate(objects, start=1)
            ],
        )
        found.createIndex()
        return found
