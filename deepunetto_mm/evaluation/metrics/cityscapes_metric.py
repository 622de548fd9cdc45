"""The official Cityscapes submission, and its official evaluation."""

import os
import re
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any, Optional

import numpy as np

from deepunetto_mm.evaluation.counting import encode_labels
from deepunetto_mm.evaluation.inputs import confidences, dataset_taxonomy, require_fields
from deepunetto_mm.evaluation.official_cityscapes import (
    official_labels,
    require_cityscapesscripts,
    score_instances,
    score_pixels,
)
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.registry import METRICS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.files import write_png, write_whole

_LABEL_IDS, _INSTANCE_IDS = '_gtFine_labelIds.png', '_gtFine_instanceIds.png'
_FRAME = re.compile(r'[^_]+_\d{6}_\d{6}(?=_)')
_UNLABELED = 0


@METRICS.register_module()
class CityscapesMetric(PictureMetric):
    """Writes predictions in the official format of the benchmark, and evaluates them with the official functions.

    .. code-block:: none

        output_dir/
          pixel/zurich_000000_000019_labelIds.png       official label ids, from pred_fine_seg
          instance/zurich_000000_000019.txt             a line per object: mask, label id, confidence
          instance/zurich_000000_000019_001.png         its mask, 0 and 255

    Each of the two folders is a submission. An object's confidence is the score of its region times that of its fine
    class. A picture without objects has an empty text file. Files are written atomically, the text file after its
    masks.

    Reported, in percent rounded to two decimals: ``cityscapes/IoU``, ``cityscapes/iIoU``, ``cityscapes/category_IoU``,
    ``cityscapes/category_iIoU``, ``cityscapes/AP`` and ``cityscapes/AP50``. The ground truth is read from the official
    files, at their full resolution: the sample's ``seg_map_path`` must be a ``*_gtFine_labelIds.png``.

    Needs the package ``cityscapesscripts``. With several processes each writes its own pictures and the first evaluates
    them all, so they must share the disk.

    Args:
        output_dir: Folder of the submission. Existing files of the same pictures are replaced. None for a temporary
            one, deleted after the evaluation.
        format_only: Write the submission and report nothing; needs no ground truth.
        options: ``collect_device``, ``prefix`` (None for ``cityscapes``) and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ModuleNotFoundError: If ``cityscapesscripts`` is not installed.
        ValueError: If ``format_only`` has no ``output_dir``.
    """

    default_prefix = 'cityscapes'

    def __init__(self, output_dir: Optional[str] = None, format_only: bool = False, **options: Any) -> None:
        super().__init__(**options)
        require_cityscapesscripts()
        if format_only and output_dir is None:
            raise ValueError('CityscapesMetric: format_only=True writes a submission; set its folder as output_dir')
        self.output_dir = output_dir
        self.format_only = format_only
        self._temporary: Optional[tempfile.TemporaryDirectory] = None

    def shared(self) -> tuple[Taxonomy, Path]:
        """The taxonomy, and the folder to write to.

        Raises:
            TaxonomyError: If the taxonomy is missing, or has names that are not labels of Cityscapes with an id.
        """
        taxonomy = dataset_taxonomy(self)
        known = [name for name, label in official_labels().items() if label.id >= 0]  # the id of 'license plate' is -1
        strangers = [name for name in taxonomy.composed_classes if name not in known]
        if strangers:
            raise TaxonomyError(
                f'CityscapesMetric: the composed classes {strangers} are not labels of Cityscapes; it has {known}'
            )
        if self.output_dir is not None:
            return taxonomy, Path(self.output_dir).absolute()
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix='cityscapes_')
        return taxonomy, Path(self._temporary.name)

    def record(self, sample: dict, shared: tuple[Taxonomy, Path]) -> dict[str, str]:
        """Write the files of a picture; returns their paths.

        Args:
            sample: With ``img_path``, ``pred_fine_seg``, ``pred_region_map`` and ``pred_regions`` in the frame of the
                original picture, and for the evaluation ``seg_map_path``.
            shared: As :meth:`shared` returns it.

        Raises:
            ValueError: If a field is missing or has other labels than the taxonomy, or a file has no official name.
        """
        files = {} if self.format_only else _ground_truth(sample)
        frame = _frame(sample.get('img_path', 'a picture without img_path'))
        return {**files, **_write_picture(frame, sample, *shared)}

    def evaluate(self, size: int) -> dict[str, float]:
        """As in mmengine; also removes the temporary folder, if there is one, when no process needs it any more."""
        try:
            # It ends with a broadcast: the first process has read all files.
            return super().evaluate(size)
        finally:
            if self._temporary is not None:
                self._temporary.cleanup()
                self._temporary = None

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Evaluate the files that all processes have written.

        Raises:
            FileNotFoundError: If one of them is missing.
            ValueError: If the official functions reject one.
        """
        if self.format_only:
            return {}
        files = {key: [record[key] for record in results] for key in ('pixel', 'instance', 'label_ids', 'instance_ids')}
        for path in chain(*files.values()):
            if not os.path.isfile(path):
                raise FileNotFoundError(
                    f'{path}: no such file; with several processes, output_dir (or the temporary folder) and the '
                    'ground truth must be on a disk that they share'
                )
        scores = score_pixels(files['pixel'], files['label_ids'])
        scores.update(score_instances(files['instance'], files['instance_ids']))
        return {key: round(100 * float(value), 2) for key, value in scores.items()}


def _frame(img_path: str) -> str:
    """City, sequence and frame, by which the official scripts identify a picture."""
    match = _FRAME.match(os.path.basename(img_path))
    if match is None:
        raise ValueError('not named as in Cityscapes, CITY_123456_123456_leftImg8bit.png')
    return match.group()


def _ground_truth(sample: dict) -> dict[str, str]:
    label_ids = os.path.abspath(sample.get('seg_map_path') or '')
    if not label_ids.endswith(_LABEL_IDS):
        raise ValueError(
            f'the official evaluation reads *{_LABEL_IDS}, but seg_map_path is {sample.get("seg_map_path")!r}; with '
            'format_only=True (tools/test.py --format-only) the submission is written without ground truth'
        )
    return dict(label_ids=label_ids, instance_ids=label_ids[: -len(_LABEL_IDS)] + _INSTANCE_IDS)


def _write_picture(frame: str, sample: dict, taxonomy: Taxonomy, folder: Path) -> dict[str, str]:
    """Write the files of a picture for both tasks; returns the paths of the label map and of the text file."""
    require_fields(sample, ('pred_fine_seg', 'pred_region_map', 'pred_regions'))
    table = official_labels()
    pixel, instance = folder / 'pixel' / f'{frame}_labelIds.png', folder / 'instance' / f'{frame}.txt'
    composed = sample['pred_fine_seg']['data'].squeeze(0).cpu().numpy()
    codes = encode_labels(composed, len(taxonomy.composed_classes), taxonomy.composed_ignore_index)
    label_ids = np.array([*(table[name].id for name in taxonomy.composed_classes), _UNLABELED], np.uint8)
    write_png(pixel, label_ids[codes])

    region_map = sample['pred_region_map']['data'].squeeze(0).int().cpu().numpy()
    regions = sample['pred_regions']
    fine_labels, scores = regions['fine_labels'], confidences(regions)
    lines: list[str] = []
    masks: list[Path] = []
    instance.unlink(missing_ok=True)  # that of an earlier run would list the masks of this one
    for id_, fine, score in zip(regions['ids'].tolist(), fine_labels.tolist(), scores.tolist(), strict=True):
        label, mask = table[taxonomy.fine_classes[fine]], region_map == id_
        if label.hasInstances and mask.any():
            path = instance.with_name(f'{frame}_{len(masks) + 1:03d}.png')
            write_png(path, mask * np.uint8(255))
            masks.append(path)
            lines.append(f'{path.name} {label.id} {score:.9f}\n')
    write_whole(instance, ''.join(lines).encode())
    # Masks of an earlier run that found more.
    for path in set(instance.parent.glob(f'{frame}_*.png')) - set(masks):
        path.unlink(missing_ok=True)
    return dict(pixel=str(pixel), instance=str(instance))
