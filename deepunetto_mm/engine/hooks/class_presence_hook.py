"""Explains classes whose IoU is 0 or nan."""

from typing import Any, Optional, Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class ClassPresenceHook(Hook):
    """After validation and test, report classes that have no pixel in the split's masks, or in the predictions.

    Such a class has an IoU of nan, which mmseg's ``IoUMetric`` leaves out of mIoU, or of 0, which is included; its
    table does not explain it. Ignored pixels are not counted. Samples without ``gt_sem_seg`` or ``pred_sem_seg`` are
    skipped, and datasets without ``classes``.
    """

    def __init__(self) -> None:
        self._counts: Optional[torch.Tensor] = None

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Sequence] = None,
        mode: str = 'train',
    ) -> None:
        if mode != 'train':
            self._count(outputs or (), len(_classes(runner, mode)))

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        if mode != 'train':
            self._report(runner, _classes(runner, mode))

    def _count(self, samples: Sequence, num_classes: int) -> None:
        if self._counts is None:
            self._counts = torch.zeros(2, num_classes, dtype=torch.long)
        for sample in samples:
            fields = sample.keys() if isinstance(sample, BaseDataElement) else ()
            if 'gt_sem_seg' not in fields or 'pred_sem_seg' not in fields:
                continue
            truth = sample.gt_sem_seg.data.flatten()
            pred = sample.pred_sem_seg.data.flatten().to(truth.device)
            counted = truth < num_classes
            for row, labels in zip(self._counts, (truth, pred)):
                row += torch.bincount(labels[counted].long(), minlength=num_classes)[:num_classes].cpu()

    def _report(self, runner: Runner, classes: Sequence[str]) -> None:
        # A rank without pictures must also take part in the sum.
        counts = torch.zeros(2, len(classes), dtype=torch.long) if self._counts is None else self._counts
        self._counts = None
        all_reduce(counts)
        if not counts.any():
            return
        for name, true, predicted in zip(classes, *counts.tolist()):
            if not true and not predicted:
                runner.logger.info(f'IoU of {name!r} is nan: no pixel of it in this split. mIoU leaves it out')
            elif not true:
                runner.logger.info(
                    f'IoU of {name!r} is 0: no pixel of it in this split, but it is predicted. mIoU includes the 0'
                )
            elif not predicted:
                runner.logger.info(f'IoU of {name!r} is 0: it is in this split, but never predicted')


def _classes(runner: Runner, mode: str) -> Sequence[str]:
    dataset = getattr(runner, f'{mode}_dataloader').dataset
    return (getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
