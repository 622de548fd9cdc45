"""DeepUNetto's registries, children of mmengine's roots.

mmengine imports ``<scope>.registry`` when it meets an unknown scope, so ``type='deepunetto_mm.UNetDecoder'``
works in any config of mmsegmentation or mmpretrain without ``custom_imports``. The parents are mmengine's roots and
not mmseg's, because mmpretrain could not find children of mmseg's registries.
"""

from importlib import import_module
from typing import Any, Optional

from mmengine import registry as root
from mmengine.registry import Registry


class LazyRegistry(Registry):
    """A registry of this package that imports one location after the other, until a type is found.

    mmengine imports all of them at the first look-up. But a decoder in a config of mmsegmentation must not import the
    classifiers, and with them all models of mmpretrain.

    Args:
        name: As of mmengine's ``Registry``.
        parent: The registry of mmengine that this one is a child of.
        locations: Modules below ``deepunetto_mm``, in the order in which they are imported.
    """

    def __init__(self, name: str, parent: Registry, locations: list[str]) -> None:
        super().__init__(
            name, parent=parent, scope='deepunetto_mm', locations=[f'deepunetto_mm.{place}' for place in locations]
        )
        self._imported = True  # mmengine leaves the locations alone

    def get(self, key: str) -> Optional[Any]:
        """The class of a name, with or without the scope; as of mmengine's ``Registry``."""
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope):
            for location in self._locations:
                if name in self._module_dict:
                    break
                import_module(location)
        return super().get(key)


MODELS = LazyRegistry('model', root.MODELS, ['models', 'unet2015', 'models.classifiers'])
DATASETS = LazyRegistry('dataset', root.DATASETS, ['datasets'])
TRANSFORMS = LazyRegistry(
    'transform', root.TRANSFORMS, ['datasets.transforms', 'threshold_masks.load_threshold_annotations', 'unet2015']
)
METRICS = LazyRegistry('metric', root.METRICS, ['evaluation', 'unet2015'])
VISUALIZERS = LazyRegistry('visualizer', root.VISUALIZERS, ['visualization'])
VISBACKENDS = LazyRegistry('vis_backend', root.VISBACKENDS, ['visualization'])
HOOKS = LazyRegistry('hook', root.HOOKS, ['engine', 'guards'])
WEIGHT_INITIALIZERS = LazyRegistry('weight initializer', root.WEIGHT_INITIALIZERS, ['models'])
