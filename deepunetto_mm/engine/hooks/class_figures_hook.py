"""The figures of each class for the log's backends."""

import math
from typing import Any, Optional

from mmengine.dist import broadcast_object_list
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS


@HOOKS.register_module()
class ClassFiguresHook(Hook):
    """Adds the figures of each class, which a metric stores in ``by_class``, as ``FineGrainedMetric`` does.

    After a validation all backends of the visualizer (``scalars.json``, TensorBoard, ...) get them under names like
    ``fine/recognition/rose``; undefined ones are left out. ``save_best`` and ``EarlyStoppingHook`` can use these names.
    The log only has the means. After a test, ``tools/test.py --out-metrics`` writes them.

    Args:
        max_classes: With more classes than this the backends get nothing.
    """

    priority = 'HIGH'  # after RuntimeInfoHook, which writes the log, and before hooks that read the figures

    def __init__(self, max_classes: int = 300) -> None:
        self.max_classes = max_classes

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict[str, float]] = None) -> None:
        """Add the figures to ``metrics``, and to the backends."""
        figures, number = _figures(runner.val_loop.evaluator)
        if metrics is not None:
            metrics.update(figures)
        defined = {name: value for name, value in figures.items() if math.isfinite(value)}
        if defined and number <= self.max_classes:
            # A run that only validates has no training loop, and the property would build one.
            trains = not isinstance(runner._train_loop, (dict, type(None)))
            runner.visualizer.add_scalars(defined, step=runner.iter if trains else 0)


def _figures(evaluator: Evaluator) -> tuple[dict[str, float], int]:
    """Figures by name, and their number of classes."""
    tables: list[dict[str, dict[str, Any]]] = [getattr(metric, 'by_class', {}) for metric in evaluator.metrics]
    broadcast_object_list(tables)  # only the first process has the figures, and all must stop at the same epoch
    figures = {
        f'{figure}/{name}': value
        for table in tables
        for name, row in table.items()
        for figure, value in row.items()
        if isinstance(value, float)
    }
    return figures, max(map(len, tables), default=0)
