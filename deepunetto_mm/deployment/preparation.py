"""The test pipeline of an exported network: what the graphs do of it, and what the runtime does before them."""

from dataclasses import dataclass
from typing import Any, Mapping, Optional

from mmcv.transforms import Resize
from mmseg.datasets.transforms import Resize as SegResize

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.config_parts import dataset_parts, loads_picture, type_name
from deepunetto_mm.utils.errors import UsageError

_LOADER = dict(type='LoadImageFromFile', color_type='color', imdecode_backend='cv2', to_float32=False)
_LOADER_OPTIONS = {'backend_args', 'ignore_empty'}  # which do not change what is read
_OPTIONS = dict(ChromaticAdaptation=('percentile',), Resize=('scale', 'scale_factor', 'keep_ratio', 'interpolation'))


@dataclass
class Preparation:
    """How a picture becomes the input of the network.

    The graphs take a picture as it is, unless it is resized: then the runtime applies all transforms, in their order.

    Attributes:
        transforms: Those that change a picture, as ``model.json`` lists them: ``type``, options, and ``by``, which is
            ``'graph'`` or ``'runtime'``.
    """

    transforms: list[dict[str, Any]]

    @property
    def resizes(self) -> bool:
        """Whether the input has another size than the picture."""
        return any(transform['type'] == 'Resize' for transform in self.transforms)

    @property
    def percentile(self) -> Optional[float]:
        """That of a :class:`ChromaticAdaptation` in the graphs; None without one."""
        return next((own['percentile'] for own in self.transforms if own['by'] == 'graph'), None)


def preparation_of(inferencer: Any) -> Preparation:
    """That of a network's test data.

    Raises:
        UsageError: If neither the graphs nor the runtime can do a transform, which it names.
    """
    transforms = []
    for transform in dataset_parts(inferencer.cfg.test_dataloader.dataset)[0].get('pipeline', []):
        kind = type_name(transform)
        if kind in _OPTIONS:
            transforms.append(_described(kind, transform))
        elif not _changes_nothing(kind, transform):
            raise UsageError(
                f'the transform {kind} of test_dataloader is not in the graph: prepare pictures so in your program, '
                'and remove it from the config that you export'
            )
    if [own['type'] for own in transforms].count('ChromaticAdaptation') > 1:
        raise UsageError('ChromaticAdaptation is in the test pipeline more than once')
    by = 'runtime' if Preparation(transforms).resizes else 'graph'
    return Preparation([dict(own, by=by) for own in transforms])


def _described(kind: str, transform: Mapping[str, Any]) -> dict[str, Any]:
    built = TRANSFORMS.build(transform)
    if kind == 'Resize' and (type(built) not in (Resize, SegResize) or built.backend != 'cv2'):
        raise UsageError(
            f"the transform {dict(transform)} of test_dataloader cannot be exported: the runtime has mmcv's Resize "
            "with backend='cv2'"
        )
    return dict(type=kind, **{key: getattr(built, key) for key in _OPTIONS[kind]})


def _changes_nothing(kind: str, transform: Mapping[str, Any]) -> bool:
    """Whether a picture stays as the runtime and the graphs take it."""
    if kind == 'LoadImageFromFile':
        own = {key: value for key, value in transform.items() if key not in _LOADER_OPTIONS}
        return {**_LOADER, **own, 'type': kind} == _LOADER
    # Annotations are not loaded.
    return kind in ('PackRegionInputs', 'PackSegInputs') or (kind.startswith('Load') and not loads_picture(kind))
