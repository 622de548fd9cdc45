"""Stopping a run whose dataset and model number their labels differently."""

from typing import Any, Mapping, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from deepunetto_mm.registry import HOOKS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.config_parts import dataset_parts
from deepunetto_mm.utils.head_checks import check_heads


@HOOKS.register_module()
class TaxonomyHook(Hook):
    """Compares the taxonomy of each dataset with the model's before training or testing.

    Labels are positions, so a dataset with the same names in another order would train and test incorrectly, without
    any error. A dataset without a taxonomy, such as mmseg's own, is compared by its ``classes`` only. A model
    without a taxonomy, such as mmseg's own, uses only the segmentation classes, and is skipped. With a classifier
    whose head has the taxonomy, the ``classes`` of mmpretrain's datasets are compared with the fine classes:
    ``CustomDataset`` always numbers its folders alphabetically.

    Whatever else has a label of ignored pixels must have the dataset's, if that has a taxonomy: heads of mmseg's
    models, metrics, and transforms that fill masks.

    Raises:
        TaxonomyError: At the start of training (for the training and the validation data), validation, or testing.
            The message names the dataset and what differs.
        ValueError: If a part has another label of ignored pixels, or a loss another number of class weights.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Check the training data, and the validation data now rather than an epoch later."""
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
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        metainfo = getattr(dataset, 'metainfo', None) or {}
        # A classifier of mmpretrain has no taxonomy itself, but its head may be ours.
        head: Any = getattr(model, 'head', None)
        if getattr(model, 'taxonomy', None) is not None:
            difference = _difference(model.taxonomy, metainfo)
        elif getattr(head, 'taxonomy', None) is not None:
            difference = _difference_of_names(head.taxonomy, metainfo)
        else:
            difference = ''
        if difference:
            raise TaxonomyError(
                f'{type(dataset).__name__} ({split} data) does not match the model; from the model to '
                f'the dataset: {difference}. Give both the same taxonomy in the config'
            )
        if metainfo.get('taxonomy'):
            taxonomy = Taxonomy.from_dict(metainfo['taxonomy'])
            check_heads(model, taxonomy.classes, taxonomy.ignore_index)
            _check_ignored(taxonomy.ignore_index, split, dataset, getattr(runner, f'{split}_evaluator', None))


def _check_ignored(label: int, split: str, dataset: Any, evaluator: Any) -> None:
    parts = [(f'{split}_evaluator', metric) for metric in getattr(evaluator, 'metrics', ())]
    for part in dataset_parts(dataset):
        transforms = getattr(getattr(part, 'pipeline', None), 'transforms', ())
        parts += [(f'the pipeline of the {split} data', transform) for transform in transforms]
    for place, part in parts:
        padding = getattr(part, 'pad_val', None)
        given = dict(
            ignore_index=getattr(part, 'ignore_index', None),
            seg_pad_val=getattr(part, 'seg_pad_val', None),
            pad_val=padding.get('seg') if isinstance(padding, dict) else None,
        )
        for key, value in given.items():
            if value not in (None, label):
                raise ValueError(
                    f"{type(part).__name__} of {place} has {key}={value}, the dataset's taxonomy ignore_index={label}: "
                    'set both to the same'
                )


def _difference(expected: Taxonomy, metainfo: Mapping[str, Any]) -> str:
    if metainfo.get('taxonomy'):
        return expected.difference(Taxonomy.from_dict(metainfo['taxonomy']))
    return _list_difference('classes', expected.classes, metainfo.get('classes'))


def _difference_of_names(expected: Taxonomy, metainfo: Mapping[str, Any]) -> str:
    """For pictures with one label: mmpretrain's datasets list the labels as their classes."""
    classes = tuple(metainfo.get('classes') or ())
    difference = ''
    if metainfo.get('taxonomy'):
        difference = expected.difference(Taxonomy.from_dict(metainfo['taxonomy']))
        if classes == expected.classes:  # our datasets list segmentation classes, and number labels by the taxonomy
            return difference
    return difference or _list_difference('fine classes', expected.fine_classes, classes)


def _list_difference(what: str, expected: Sequence[str], classes: Optional[Sequence[str]]) -> str:
    return f'{what}: {list(expected)} became {list(classes)}' if classes and tuple(classes) != tuple(expected) else ''
