"""The test data of a config, predicted and compared with their annotation."""

import logging
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.evaluation import FineGrainedMetric
from deepunetto_mm.utils.errors import DataError, message_of
from deepunetto_mm.visualization.drawing import rgb_from_inputs


class Review:
    """What was named correctly, named wrongly, missed and invented in each picture of ``test_dataloader.dataset``.

    The counts are those of :class:`~deepunetto_mm.evaluation.FineGrainedMetric`. The pictures are predicted in a thread
    of its own, from the first :meth:`start` on.

    Args:
        inferencer: The network and its config.
        lock: Held while the network predicts.
    """

    def __init__(self, inferencer: DeepUNettoInferencer, lock: threading.Lock) -> None:
        self._inferencer, self._lock = inferencer, lock
        self._names = inferencer.taxonomy.fine_classes
        self._thread: Optional[threading.Thread] = None
        self._starting = threading.Lock()  # requests have threads of their own
        self._dataset: Any = None
        self._pictures: list[dict[str, Any]] = []
        self._error = ''

    def start(self) -> None:
        """Begin with the first picture, unless it has begun."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def describe(self, start: int) -> dict[str, Any]:
        """What has been found since, in values that JSON supports.

        Args:
            start: Number of the first picture to list.

        Returns:
            ``total`` pictures, 0 before the data are listed; ``error``, why it ended early, or ``''``; ``pictures``, of
            each its ``name`` and ``pairs``: the true and the predicted fine class of each object, as indices, or K,
            the number of fine classes, for an object that was missed, or found where there is nothing.
        """
        total = 0 if self._dataset is None else len(self._dataset)
        return dict(total=total, error=self._error, pictures=self._pictures[start:])

    def open(self, index: int) -> tuple[str, np.ndarray, list[str]]:
        """A picture that was compared: its name, itself (H, W, 3) uint8 BGR, and its errors in words.

        Raises:
            KeyError: If it was not compared yet.
        """
        if not 0 <= index < len(self._pictures):
            raise KeyError(f'picture {index} has not been compared with its annotation yet')
        with self._lock:
            data = self._load(index)
        path = Path(data['data_samples'].img_path)
        if path.is_file():
            picture = self._inferencer.read(path)[0]
        else:  # drawn on request
            picture = rgb_from_inputs(data['inputs'], data['data_samples'].ori_shape)[..., ::-1]
        found = self._pictures[index]
        return found['name'], np.ascontiguousarray(picture), [self._errors_in_words(found['pairs'])]

    def _load(self, index: int) -> dict[str, Any]:
        with DefaultScope.overwrite_default_scope('mmseg'):
            return self._dataset[index]

    def _run(self) -> None:
        try:
            with self._lock, DefaultScope.overwrite_default_scope('mmseg'):
                dataset = DATASETS.build(self._inferencer.cfg.test_dataloader.dataset)
            metric = FineGrainedMetric()
            metric.dataset_meta = dataset.metainfo
            self._dataset = dataset
            if len(dataset) == 0:
                raise DataError('test_dataloader.dataset has no picture')
            for index in range(len(dataset)):
                with self._lock, torch.no_grad():
                    (sample,) = self._inferencer.model.test_step(pseudo_collate([self._load(index)]))
                record = metric.record(sample.to_dict(), metric.shared())
                self._pictures.append(dict(name=Path(sample.img_path).name, pairs=self._pairs(record)))
        except Exception as error:  # of the data, of the network
            logging.getLogger('uvicorn.error').exception('comparing with the annotation')
            self._error = message_of(error)

    def _pairs(self, record: dict[str, Any]) -> list[list[int]]:
        nothing = len(self._names)
        named = [
            [true, guess if guess >= 0 else nothing] for true, guess, *_ in record['regions'].tolist() if true >= 0
        ]
        return named + [[nothing, guess] for guess in record['false_alarms'].tolist()]

    def _errors_in_words(self, pairs: list[list[int]]) -> str:
        names = self._names
        wrong = Counter(
            f'{names[guess]} found where there is nothing'
            if true == len(names)
            else f'{names[true]} missed'
            if guess == len(names)
            else f'{names[true]} named {names[guess]}'
            for true, guess in pairs
            if true != guess
        )
        right = len(pairs) - wrong.total()
        errors = ', '.join(f'{text} ({count})' if count > 1 else text for text, count in wrong.most_common())
        return f'Against its annotation: {right} of {len(pairs)} right' + (f'; {errors}' if errors else '')
