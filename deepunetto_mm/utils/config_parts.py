"""Parts of a config in any form: types as names or classes, datasets with or without wrappers."""

import re
from typing import Any


def type_name(part: Any) -> str:
    """Name of the class of a part, without a scope.

    Args:
        part: A dict of the config, whose ``type`` is a name (``'mmseg.IoUMetric'``) or a class, or
            the object that was built from it.

    Returns:
        For example ``'IoUMetric'``; empty for a dict without a type.
    """
    kind = part.get('type', '') if isinstance(part, dict) else type(part)
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))


def loads_picture(kind: str) -> bool:
    """Whether a transform of this name loads pictures, such as ``LoadImageFromFile``, and not annotations."""
    return kind.startswith('Load') and not re.search('Annotation|Region|Mask|Label|Proposal', kind)


def dataset_parts(dataset: Any) -> list[Any]:
    """Datasets within wrappers such as ``ConcatDataset``, ``RepeatDataset`` and ``ClassBalancedDataset``, at any depth.

    Args:
        dataset: A dataset's config, or a built dataset.

    Returns:
        The datasets that read files, configs or built; a dataset that is not a wrapper is the only one.
    """

    def get(name: str) -> Any:
        return dataset.get(name) if isinstance(dataset, dict) else getattr(dataset, name, None)

    inner = get('datasets') or [part for part in (get('dataset'),) if part is not None]
    return [part for item in inner for part in dataset_parts(item)] or [dataset]


def without_weights(node: Any) -> None:
    """Remove pretrained weights from a config of a model, in place: building it then reads and downloads nothing."""
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        without_weights(child)
    if isinstance(node, dict):
        node.pop('init_cfg', None)
        if 'pretrained' in node:
            node['pretrained'] = None


def as_list(part: Any) -> list[Any]:
    """A list of what a config may give as one item or as a list, such as its evaluators."""
    return list(part) if isinstance(part, (list, tuple)) else [part]
