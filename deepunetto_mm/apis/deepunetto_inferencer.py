"""From pictures to named regions, in one call."""

import functools
import logging
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Union

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from rich.progress import Progress

from deepunetto_mm.datasets import DataError
from deepunetto_mm.datasets.picture_losses import losses_of_reading, unread_values
from deepunetto_mm.guards.checkpoint import read_checkpoint
from deepunetto_mm.guards.safe_loading import safe_loading
from deepunetto_mm.ops.inference import prepared_for_inference
from deepunetto_mm.utils.config_parts import dataset_parts, loads_picture, type_name
from deepunetto_mm.utils.shipped_configs import read_config
from deepunetto_mm.visualization import RegionVisualizer

from .picture_batches import Batch, is_large, predict_side_by_side, read_ahead
from .picture_sources import Picture, Source, list_sources
from .prediction_files import describe_regions, write_prediction, write_taxonomy


class DeepUNettoInferencer:
    """A trained model, ready for pictures.

    ::

        inferencer = DeepUNettoInferencer('configs/deepunetto_wbc.py', 'work_dirs/deepunetto_wbc/epoch_40.pth')
        for result in inferencer('smears/', out_dir='outputs'):
            print(result['picture'], [(region['fine_class'], region['fine_score']) for region in result['regions']])

    Pictures go through the test pipeline of the config, without the transforms that load annotations. On several cores
    of a CPU small ones are predicted side by side by threads, so parts of the network must not keep a prediction's
    state in themselves; after ``torch.set_num_threads(1)`` they are predicted one after the other.

    Args:
        config: Config file (as in :func:`~deepunetto_mm.apis.read_config`), or a loaded config.
        checkpoint: Weights, read without executing code in the file; or what was read, a dict with ``state_dict``.
            None keeps the initial weights.
        device: Where to run, e.g. ``'cuda:1'``; by default the GPU if there is one.
        show_progress: Whether to show a progress bar.
        trust_checkpoint: Read the checkpoint even if it may execute code; see
            :func:`~deepunetto_mm.guards.checkpoint.read_checkpoint`.
        bf16: Compute convolutions and matrix products in bfloat16, which is faster on processors and GPUs that have
            it, with slightly different predictions.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If the device cannot be used; if the model has no taxonomy, or needs annotated regions; if the
            checkpoint is damaged, unsafe, or of another model; TaxonomyError if it has another taxonomy.
    """

    def __init__(
        self,
        config: Union[str, Path, Config],
        checkpoint: Optional[Union[str, Path, dict]] = None,
        device: Optional[str] = None,
        show_progress: bool = True,
        trust_checkpoint: bool = False,
        bf16: bool = False,
    ) -> None:
        self.cfg = config if isinstance(config, Config) else read_config(config)
        self.device = _usable_device(device or get_device())
        self.show_progress = show_progress
        init_default_scope(self.cfg.get('default_scope', 'mmseg'))
        with safe_loading(trust_checkpoint):  # backbones of other libraries may load weights, too
            self.model = MODELS.build(self.cfg.model)
        if getattr(self.model, 'taxonomy', None) is None:
            raise ValueError(
                f'the model {type_name(self.cfg.model)} of the config has no taxonomy; DeepUNettoInferencer '
                'needs a deepunetto_mm.DeepUNetto with one'
            )
        if not hasattr(self.model, 'decode_head') or getattr(self.model, 'oracle', False):
            raise ValueError(
                f'the model {type_name(self.cfg.model)} of the config names annotated regions (it has no decode_head, '
                'or test_cfg.oracle=True), and DeepUNettoInferencer loads no annotations; run tools/test.py on a '
                'dataset that has them'
            )
        self.taxonomy = self.model.taxonomy
        meta = self._load(checkpoint, trust_checkpoint) if checkpoint is not None else {}
        if checkpoint is None:
            print_log('no checkpoint: the weights are random, and so are the predictions', 'current', logging.WARNING)
        self.model = prepared_for_inference(self.model.to(self.device), bf16)
        self.bf16 = bf16
        self._init_pipeline()
        self._losses: Counter = Counter()
        font = (self.cfg.get('visualizer') or {}).get('font')
        self.visualizer = RegionVisualizer(name=f'inferencer_{id(self)}', font=font)
        self.visualizer.dataset_meta = dict(
            classes=self.taxonomy.classes,
            palette=meta.get('palette'),
            fine_palette=meta.get('fine_palette'),
            taxonomy=self.taxonomy.to_dict(),
        )

    def _load(self, checkpoint: Union[str, Path, dict], trusted: bool) -> dict[str, Any]:
        """Load weights, and return the metainfo of the data that they were trained on."""
        contents = checkpoint if isinstance(checkpoint, dict) else read_checkpoint(checkpoint, trusted)
        try:
            self.model.load_state_dict(contents['state_dict'])
        except RuntimeError as error:
            name = 'the checkpoint' if isinstance(checkpoint, dict) else checkpoint
            raise ValueError(f'{name} does not match the model of the config; {error}') from error
        return contents.get('meta', {}).get('dataset_meta') or {}

    def _init_pipeline(self) -> None:
        loader, rest = dict(type='LoadImageFromFile'), []
        # Datasets that are tested together must have one pipeline.
        for transform in dataset_parts(self.cfg.test_dataloader.dataset)[0].get('pipeline', []):
            kind = type_name(transform)
            if loads_picture(kind):
                loader = transform
            elif not kind.startswith('Load'):
                rest.append(transform)
        self._load_file = TRANSFORMS.build(loader)
        self._load_array = TRANSFORMS.build(dict(type='LoadImageFromNDArray'))
        self._transform = Compose(rest)

    def __call__(
        self,
        pictures: Union[Picture, Sequence[Picture]],
        out_dir: Optional[Union[str, Path]] = None,
        batch_size: int = 1,
        top_k: int = 5,
        show: bool = False,
        return_datasamples: bool = False,
    ) -> list[Any]:
        """Predict on pictures, in their order.

        Args:
            pictures: A file; a folder, whose pictures are sorted by name, without its subfolders
                and hidden files; an array (H, W, 3) uint8 BGR, as OpenCV reads it; a picture of Pillow; a tensor
                (3, H, W) RGB, as torchvision reads it, uint8 or floats of 0..1; or a list of those. An array or a
                tensor with one more axis is a list.
            out_dir: Folder for the results of each picture: ``predictions/*.json``, the returned dict;
                ``segmentation/*.png``, 8-bit labels of the segmentation classes; ``composed/*.png``, 8-bit labels of
                the composed classes; ``regions/*.png``, 16-bit region ids (or .tif, see
                :func:`~deepunetto_mm.apis.prediction_files.write_prediction`); ``visualizations/*.png``; and
                ``classes.json``, the taxonomy. Nothing is written by default.
            batch_size: Number of pictures per forward pass, if neighbours in the list have the same size.
            top_k: Number of fine classes to list for each region.
            show: Whether to show the predictions in a window.
            return_datasamples: Return data samples, with all maps, instead of dicts. For many pictures they exhaust the
                memory.

        Returns:
            For each picture a dict: ``picture``, its path, or ``array_0000`` for an array; ``width``, ``height``;
            ``regions``, as in :func:`~deepunetto_mm.apis.prediction_files.describe_regions`; and, if files were
            written, ``files``.

        Raises:
            FileNotFoundError, NotADirectoryError: If files do not exist, or ``out_dir`` is one; raised before any
                prediction.
            DataError: If a picture is truncated or has more pixels than ``PIL.Image`` allows, which are 179 million
                unless ``PIL.Image.MAX_IMAGE_PIXELS`` is set; raised before any prediction. If one cannot be decoded;
                raised when its turn comes.
            ValueError: If an array or a tensor has another shape or type.
            TypeError: If a picture is something else.
        """
        return list(self.stream(pictures, out_dir, batch_size, top_k, show, return_datasamples))

    def stream(
        self,
        pictures: Union[Picture, Sequence[Picture]],
        out_dir: Optional[Union[str, Path]] = None,
        batch_size: int = 1,
        top_k: int = 5,
        show: bool = False,
        return_datasamples: bool = False,
    ) -> Iterator[Any]:
        """Predict on pictures one by one, without keeping the results: for more pictures than fit in memory.

        ::

            for result in inferencer.stream('slides/', out_dir='outputs'):
                print(result['picture'], len(result['regions']))

        Args:
            pictures, out_dir, batch_size, top_k, show, return_datasamples: As in :meth:`__call__`.

        Yields:
            The entries of the list of :meth:`__call__`, one by one; what is raised before any prediction is raised at
            the first one.
        """
        if batch_size < 1 or top_k < 1:
            raise ValueError(f'batch_size and top_k must be at least 1, got {batch_size} and {top_k}')
        sources = list_sources(pictures)
        self._losses.clear()
        if out_dir is not None:
            if Path(out_dir).is_file():
                raise NotADirectoryError(f'{out_dir} is a file: name a folder for the results')
            write_taxonomy(Path(out_dir), self.taxonomy)
        # While a batch is predicted, the next one is read and the results of the one before are written.
        with Progress(disable=not self.show_progress) as progress, ThreadPoolExecutor(2) as pool:
            task = progress.add_task('Predicting', total=len(sources))
            results: deque[tuple[SegDataSample, Future]] = deque()
            batches = read_ahead(self._batches(sources, batch_size), pool)
            # One batch alone has all cores.
            cores = torch.get_num_threads() if self.device.type == 'cpu' and len(sources) > batch_size else 1
            for batch, samples in predict_side_by_side(batches, self._predict, cores):
                at_once = show or is_large(batch)  # windows are shown by the main thread
                while batch:  # each is released before the next ones are read
                    source, picture = batch.pop(0)[:2]
                    sample = samples.pop(0)
                    if not return_datasamples:
                        _drop_maps(sample, keep_labels=out_dir is not None or show)
                    sample = sample.cpu()
                    finish: Any = functools.partial(self._finish, source, picture, sample, out_dir, top_k, show)
                    results.append((sample, _done(finish()) if at_once else pool.submit(finish)))
                    del picture, sample, finish
                    while results and (at_once or len(results) > 2 or results[0][1].done()):
                        yield _result(results, return_datasamples)
                        progress.advance(task)
            while results:
                yield _result(results, return_datasamples)
                progress.advance(task)
        for kind, number in self._losses.items():
            if number > 1:
                print_log(f'{number} of {len(sources)} pictures: {kind}', 'current', logging.WARNING)

    def _predict(self, batch: Batch) -> list[SegDataSample]:
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model.test_step(pseudo_collate([data for _, _, data in batch]))

    def _batches(self, sources: list[Source], batch_size: int) -> Iterator[Batch]:
        batch: Batch = []
        for source in sources:
            results = self._read(source)
            picture = results['img']
            data = self._transform(dict(results, seg_fields=[]))
            if batch and data['inputs'].shape != batch[0][2]['inputs'].shape:
                yield batch
                batch = []
            batch.append((source, picture, data))
            del results, picture, data
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def read(self, path: Union[str, Path]) -> tuple[np.ndarray, list[DataError]]:
        """Read a file as it is predicted: as the test pipeline loads it.

        Args:
            path: A local file.

        Returns:
            The picture (H, W, 3) BGR, and what was lost in reading it, as in
            :func:`~deepunetto_mm.datasets.picture_losses.losses_of_reading`.

        Raises:
            DataError: If the file cannot be decoded.
        """
        results, losses = self._load_picture(str(path))
        return results['img'], losses

    def _load_picture(self, path: str) -> tuple[dict[str, Any], list[DataError]]:
        try:
            results = self._load_file(dict(img_path=path))
        except Exception as error:  # each decoder has its own
            why = unread_values(path) or f'{error}; write it as PNG or JPEG'
            raise DataError(f'{path} cannot be read as a picture: {why}') from error
        return results, losses_of_reading(path, results['img'], self._load_file, with_masks=False)

    def _read(self, source: Source) -> dict[str, Any]:
        if source.array is not None:
            return self._load_array(dict(img=source.array))
        results, losses = self._load_picture(str(source.path))
        for loss in losses:
            if loss.kind not in self._losses:
                print_log(f'{loss} (only the first such picture is reported)', 'current', logging.WARNING)
            self._losses[loss.kind] += 1
        return results

    def _finish(
        self,
        source: Source,
        picture: np.ndarray,
        sample: SegDataSample,
        out_dir: Optional[Union[str, Path]],
        top_k: int,
        show: bool,
    ) -> dict[str, Any]:
        """Describe, draw and write one prediction."""
        height, width = picture.shape[:2]
        record: dict[str, Any] = dict(
            picture=source.name if source.path is None else str(source.path),
            width=width,
            height=height,
            regions=describe_regions(sample, self.taxonomy, top_k),
        )
        if out_dir is None and not show:
            return record

        def draw() -> np.ndarray:
            image = np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)
            drawing = self.visualizer.draw(image, sample, draw_gt=False, with_image=True)
            if show:
                self.visualizer.show(drawing, win_name=source.name)
            return drawing

        if out_dir is None:
            draw()
        else:
            record['files'] = write_prediction(Path(out_dir), source.name, record, sample, draw)
        return record


def _usable_device(name: str) -> torch.device:
    """The device of a name, before a network is built that could not go there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter of a torch that was built without GPUs
        why = str(error).partition('\n')[0]
        raise ValueError(
            f'device {name!r} cannot be used; name another, such as cpu, or leave it out ({why})'
        ) from error
    return device


def _drop_maps(sample: SegDataSample, keep_labels: bool) -> None:
    """Drop the maps that nobody reads: to copy logits from a GPU takes longer than the network."""
    for field, value in sample.items():
        unread = field == 'seg_logits' if keep_labels else field != 'pred_region_map'
        if unread and isinstance(value, PixelData):
            delattr(sample, field)


def _done(result: Any) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


def _result(results: deque[tuple[SegDataSample, Future]], as_sample: bool) -> Any:
    """The oldest result, when its files are written."""
    sample, future = results.popleft()
    record = future.result()
    return sample if as_sample else record
