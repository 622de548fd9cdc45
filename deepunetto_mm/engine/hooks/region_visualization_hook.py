"""Drawing predictions during validation and testing."""

import inspect
from pathlib import Path
from typing import Any, Optional, Sequence

import mmcv
import numpy as np
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from deepunetto_mm.registry import HOOKS
from deepunetto_mm.utils.config_parts import dataset_parts, loads_picture, type_name
from deepunetto_mm.utils.files import PictureNames
from deepunetto_mm.visualization import rgb_from_inputs

_MOST_FAILURES = 3


@HOOKS.register_module()
class RegionVisualizationHook(Hook):
    """Draws annotation and prediction side by side, also for datasets without picture files.

    The picture is read from ``img_path`` if that is a file, as the dataset's pipeline loads it; of several datasets, as
    the pipeline of the first one. Where the pipeline has no loader, or its pictures are not (H, W, 3) uint8, the file
    is read by ``mmcv.imread``. Without a file the picture is taken from the batch, uint8 BGR as packed by mmseg's
    pipelines, and resized to ``ori_shape``, the frame of the predictions.

    Validation draws the first picture of every ``interval``-th batch, always the same ones, with the training
    iteration as step. Testing draws all pictures, numbered; of several processes only the first one draws, and a
    warning says so. Names are safe as file names, and differ for pictures with the same name in different folders. What
    cannot be drawn is an error in the log, and not the end of the run; after three such errors nothing is drawn any
    more.

    Args:
        draw: Whether to draw at all.
        interval: Validation draws one picture every ``interval`` batches.
        show: Whether to open a window for each picture, too.
        wait_time: Seconds that a window stays open; 0 to wait for a key.
        max_pictures: Maximum number of pictures per validation or test; None for no limit.
        with_image: Whether to put the bare picture, without tints, beside the drawings.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        max_pictures: Optional[int] = None,
        with_image: bool = True,
    ) -> None:
        if interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.max_pictures = max_pictures
        self.with_image = with_image
        self._drawn = self._failures = 0
        self._names = PictureNames()

    def before_run(self, runner: Runner) -> None:
        """Raise ValueError if pictures are to be drawn by a visualizer that draws none, as mmengine's."""
        visualizer = runner.visualizer
        if self.draw and 'with_image' not in inspect.signature(visualizer.add_datasample).parameters:
            raise ValueError(
                f"RegionVisualizationHook draws by deepunetto_mm.RegionVisualizer, and visualizer.type is '"
                f"{type(visualizer).__name__}': set the former, or SegVisualizationHook in default_hooks.visualization"
            )

    def before_val(self, runner: Runner) -> None:
        """Start counting pictures."""
        self._drawn = 0

    def before_test(self, runner: Runner) -> None:
        """Start counting pictures; with several processes, warn that most are not drawn."""
        self._drawn = 0
        if self.draw and get_world_size() > 1:
            runner.logger.warning(
                f'only the pictures of the first of {get_world_size()} processes are drawn: test in one process to '
                'draw all'
            )

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[Sequence[SegDataSample]] = None
    ) -> None:
        """Draw the first picture of every ``interval``-th batch."""
        if outputs and batch_idx % self.interval == 0:
            self._draw(runner, 'val', batch_idx, 0, data_batch, outputs[0], step=runner.iter)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Optional[Sequence[SegDataSample]] = None
    ) -> None:
        """Draw every picture."""
        for position, sample in enumerate(outputs or ()):
            self._draw(runner, 'test', batch_idx, position, data_batch, sample, step=self._drawn + 1)

    def _draw(
        self,
        runner: Runner,
        split: str,
        batch_idx: int,
        position: int,
        data_batch: dict,
        sample: SegDataSample,
        step: int,
    ) -> None:
        if not self.draw or (self.max_pictures is not None and self._drawn >= self.max_pictures):
            return
        path = sample.metainfo.get('img_path')
        try:
            if path and Path(path).is_file():
                image = _picture_in_file(path, getattr(runner, f'{split}_dataloader').dataset)
            else:
                image = _picture_in_batch(data_batch, position, sample.metainfo['ori_shape'])
            self._drawn += 1
            name = self._names(str(path or f'batch_{batch_idx}_picture_{position}'))
            runner.visualizer.add_datasample(
                f'{split}_{name}',
                image,
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                step=step,
                with_image=self.with_image,
            )
        except Exception as error:  # of the disk, a decoder, a display: no reason to lose the figures of the run
            self._failures += 1
            end = '; no more are drawn' if self._failures == _MOST_FAILURES else ''
            runner.logger.error(f'{path} is not drawn: {type(error).__name__}: {error}{end}')
            self.draw = self._failures < _MOST_FAILURES


def _picture_in_file(path: str, dataset: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a file, as the network sees it: what it means depends on the loader's options."""
    # Datasets that are tested together must have one pipeline.
    pipeline = getattr(dataset_parts(dataset)[0], 'pipeline', None)
    transforms = getattr(pipeline, 'transforms', ())
    loader = next((transform for transform in transforms if loads_picture(type_name(transform))), None)
    image = None if loader is None else loader(dict(img_path=path))['img']
    if image is None or image.dtype != np.uint8 or image.shape[2:] != (3,):
        return mmcv.imread(path, channel_order='rgb')
    return np.ascontiguousarray(image[..., ::-1])


def _picture_in_batch(data_batch: dict, position: int, ori_shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 RGB of ``ori_shape`` from a batch of the data loader."""
    inputs = data_batch['inputs']
    if isinstance(inputs[0], (list, tuple)):
        # Test-time augmentation: a list of batches, one per view, some of them flipped.
        pairs = zip(inputs, data_batch['data_samples'])
        inputs = next((view for view, samples in pairs if not samples[position].get('flip')), inputs[0])
    return rgb_from_inputs(inputs[position], ori_shape)
