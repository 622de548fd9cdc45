"""Label maps of a test as files, whatever is scored."""

import os
from pathlib import Path
from typing import Any, Optional, Sequence

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner

from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.files import write_png


class LabelMapHook(Hook):
    """Writes the predicted label map of each picture of a test, as mmseg's ``IoUMetric`` does with ``output_dir``.

    Unlike that, it needs no ground truth, and pictures of one name in different folders do not overwrite each other.

    Args:
        out_dir: Folder of the PNG files, of 8 bits, or 16 if a label is above 255. With ``reduce_zero_label`` labels
            count from 1, as in the masks.

    Attributes:
        error: What kept a map from being written, such as a full disk; the process writes nothing any more then, and
            the test goes on, so that its figures are not lost. After the test it is the first error of all processes.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self.error: Optional[OSError] = None
        self._names: dict[str, str] = {}

    def before_test(self, runner: Runner) -> None:
        """Name the files of all pictures, the same in every process."""
        dataset = runner.test_dataloader.dataset
        paths = [str(dataset.get_data_info(index).get('img_path', '')) for index in range(len(dataset))]
        self._names = distinct_names(paths)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[Sequence] = None
    ) -> None:
        """Write the maps of a batch."""
        for position, sample in enumerate(() if self.error else outputs or ()):
            if 'pred_sem_seg' not in sample:
                raise UsageError('--out writes label maps, and the model predicts none')
            labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.int64)
            labels = labels + 1 if sample.get('reduce_zero_label') else labels
            name = self._names.get(str(sample.get('img_path', ''))) or f'batch_{batch_idx}_picture_{position}'
            path = self.out_dir / f'{name}.png'
            try:
                write_png(path, labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16))
            except OSError as error:
                self.error = error
                runner.logger.error(f'{path} is not written, nor are those that follow: {error}')
                return

    def after_test_epoch(self, runner: Runner, metrics: Optional[dict[str, float]] = None) -> None:
        """Share the errors, of which only the first process informs the user."""
        self.error = next(filter(None, all_gather_object(self.error)), None)


def distinct_names(paths: Sequence[str]) -> dict[str, str]:
    """A file name without suffix for each picture.

    Args:
        paths: Paths of the pictures, in any order, some perhaps twice.

    Returns:
        By path: its stem if all stems are distinct; or else its path below the folder that has all pictures, without
        suffix if the paths are distinct then.
    """
    distinct = sorted({path for path in paths if path})
    absolute = [os.path.abspath(path) for path in distinct]
    root = os.path.commonpath([os.path.dirname(path) for path in absolute]) if absolute else ''
    below = [os.path.relpath(path, root) for path in absolute]
    without_suffix = [os.path.splitext(path)[0] for path in below]
    for names in ([os.path.basename(path) for path in without_suffix], without_suffix):
        # Case folded: on some file systems A.png and a.png are one file.
        if len({name.casefold() for name in names}) == len(names):
            return dict(zip(distinct, names))
    return dict(zip(distinct, below))
