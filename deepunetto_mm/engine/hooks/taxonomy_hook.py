"""Stops a run whose dataset and model number their labels differently."""

from __future__ import annotations

from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS
from deepunetto_mm.structures import Taxonomy, TaxonomyError


@HOOKS.register_module()
class TaxonomyHook(Hook):
    """Compares the taxonomy of each dataset with the model's before anything is learnt or counted.

    Labels are positions, so a dataset with the same names in another order would train and test without any error,
    wrongly. A dataset that tells no taxonomy, such as mmseg's own, is compared by its ``classes`` alone. A model
    without a taxonomy, such as mmseg's own, uses the segmentation classes only, and is passed over.

    Raises:
        TaxonomyError: At the start of training (for the training and the validation data), validation, or testing.
            The message names the dataset and what differs.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check the training data, and the validation data too rather than an epoch later."""
        self._check(runner, 'train', runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check(runner, 'val', runner.val_dataloader.dataset)

    def before_val(self, runner: Runner) -> None:
        """Check the validation data."""
        self._check(runner, 'val', runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        self._check(runner, 'test', runner.test_dataloader.dataset)

    def _check(self, runner: Runner, split: str, dataset: Any) -> None:
        expected = _taxonomy_of(runner.model)
        if expected is None:
            return
        metainfo = getattr(dataset, 'metainfo', None) or {}
        if metainfo.get('taxonomy'):
            difference = expected.difference(Taxonomy.from_dict(metainfo['taxonomy']))
        elif metainfo.get('classes') and tuple(metainfo['classes']) != expected.classes:
            difference = f'classes: {list(expected.classes)} became {list(metainfo["classes"])}'
        else:
            difference = ''
        if difference:
            raise TaxonomyError(
                f'{type(dataset).__name__} ({split} data) does not fit the model; from the model to '
                f'the dataset: {difference}. Give both the same taxonomy in the config'
            )


def _taxonomy_of(model: Any) -> Optional[Taxonomy]:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    # A classifier of mmpretrain's has none itself, but its head may be ours.
    return getattr(model, 'taxonomy', None) or getattr(getattr(model, 'head', None), 'taxonomy', None)
