"""DeepUNetto's registries, children of mmengine's roots.

mmengine imports ``<scope>.registry`` when it meets an unknown scope, so ``type='deepunetto_mm.UNetDecoder'``
works in any config of mmsegmentation or mmpretrain without ``custom_imports``. The parents are mmengine's roots and
not mmseg's, because mmpretrain could not find children of mmseg's registries.
"""

from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import VISUALIZERS as ROOT_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

_SCOPE = 'deepunetto_mm'

_UNET2015 = 'deepunetto_mm.unet2015'

MODELS = Registry('model', parent=ROOT_MODELS, scope=_SCOPE, locations=['deepunetto_mm.models', _UNET2015])
DATASETS = Registry('dataset', parent=ROOT_DATASETS, scope=_SCOPE, locations=['deepunetto_mm.datasets'])
TRANSFORMS = Registry(
    'transform',
    parent=ROOT_TRANSFORMS,
    scope=_SCOPE,
    locations=['deepunetto_mm.datasets.transforms', 'deepunetto_mm.threshold_masks', _UNET2015],
)
METRICS = Registry('metric', parent=ROOT_METRICS, scope=_SCOPE, locations=['deepunetto_mm.evaluation', _UNET2015])
VISUALIZERS = Registry('visualizer', parent=ROOT_VISUALIZERS, scope=_SCOPE, locations=['deepunetto_mm.visualization'])
HOOKS = Registry('hook', parent=ROOT_HOOKS, scope=_SCOPE, locations=['deepunetto_mm.engine', 'deepunetto_mm.guards'])
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=ROOT_WEIGHT_INITIALIZERS, scope=_SCOPE, locations=['deepunetto_mm.models']
)
