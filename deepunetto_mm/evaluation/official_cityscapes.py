"""The official Cityscapes evaluation: the functions of the package cityscapesscripts, on lists of files."""

import io
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Iterator, Sequence

import numpy as np


def require_cityscapesscripts() -> None:
    """Raise if the optional package is not installed.

    Raises:
        ModuleNotFoundError: If so; the message says how to install it.
    """
    if find_spec('cityscapesscripts') is None:
        raise ModuleNotFoundError(
            'the official label table and evaluation of Cityscapes are in a separate package: '
            'pip install cityscapesscripts'
        )


def official_labels() -> dict[str, Any]:
    """The official label table, by name: entries have ``id``, ``hasInstances``, ``category``, ``ignoreInEval``."""
    return import_module('cityscapesscripts.helpers.labels').name2label


def score_pixels(predictions: Sequence[str], label_ids: Sequence[str]) -> dict[str, float]:
    """Pixel-level figures, as fractions.

    Args:
        predictions: Files with a label id at each pixel.
        label_ids: The ``*_gtFine_labelIds.png`` files of the same pictures, with ``*_gtFine_instanceIds.png`` beside.

    Returns:
        ``IoU`` and ``category_IoU``, and ``iIoU`` and ``category_iIoU``, in which every object has the same weight.

    Raises:
        ValueError: If the official functions fail, with their message.
    """
    official = import_module('cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling')

    # Their functions take options as attributes of one object, and write into it.
    args = SimpleNamespace(**{**vars(official.args), 'quiet': True, 'JSONOutput': False})
    with _errors_in_words(), _numpy_with_in1d():
        result = official.evaluateImgLists(list(predictions), list(label_ids), args)
    return dict(
        IoU=result['averageScoreClasses'],
        iIoU=result['averageScoreInstClasses'],
        category_IoU=result['averageScoreCategories'],
        category_iIoU=result['averageScoreInstCategories'],
    )


def score_instances(predictions: Sequence[str], instance_ids: Sequence[str]) -> dict[str, float]:
    """Instance-level figures, as fractions.

    Args:
        predictions: Text files with a line ``mask label_id confidence`` per object; absolute paths.
        instance_ids: The ``*_gtFine_instanceIds.png`` files of the same pictures; absolute paths.

    Returns:
        ``AP``, the mean over classes and the IoU thresholds 0.50, 0.55 … 0.95, and ``AP50``, at 0.50 only. NaN if no
        object of any class is annotated.

    Raises:
        ValueError: If the official functions fail, with their message.
    """
    official = import_module('cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling')

    # Masks must lie in predictionPath; ours may be in several folders, one for each process.
    args = SimpleNamespace(**{**vars(official.args), 'quiet': True, 'predictionPath': '/'})
    official.setInstanceLabels(args)
    # Not their evaluateImgLists: it leaves matches.json in the current folder, and reads the ground truth of an earlier
    # evaluation from a file beside the installed package, even if that was of other pictures.
    with _errors_in_words(), _numpy_with_in1d():
        objects = official.instances2dict(list(instance_ids))
        matches = official.matchGtWithPreds(list(predictions), list(instance_ids), objects, args)
        precisions = official.evaluateMatches(matches, args)
        if np.isnan(precisions).all():
            return dict(AP=np.nan, AP50=np.nan)
        averages = official.computeAverages(precisions, args)
    return dict(AP=averages['allAp'], AP50=averages['allAp50%'])


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """Raise the message that the official functions print before they exit."""
    with redirect_stdout(io.StringIO()) as said:
        try:
            yield
        except SystemExit as error:
            raise ValueError(f'cityscapesscripts failed: {said.getvalue().strip()}') from error


@contextmanager
def _numpy_with_in1d() -> Iterator[None]:
    """Give numpy the function ``in1d``, which cityscapesscripts 2.3.0 calls and numpy 2.4 has removed."""
    if hasattr(np, 'in1d'):
        yield
        return
    vars(np)['in1d'] = lambda values, wanted: np.isin(np.ravel(values), wanted)
    try:
        yield
    finally:
        del vars(np)['in1d']
