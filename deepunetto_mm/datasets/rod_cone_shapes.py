"""Generated data: an experiment on what rods can see and only cones can distinguish."""

from functools import lru_cache
from typing import Any, Callable, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset

from deepunetto_mm.ops import number_regions
from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import Taxonomy

from .shape_scenes import HUE_STEPS, HUES, SHAPES, Scene, draw_scene

_TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['clutter', *SHAPES],
        groups=[dict(name=shape, members=[shape], fine_classes=[f'{hue} {shape}' for hue in HUES]) for shape in SHAPES],
    )
)


@lru_cache(maxsize=16)
def _draw(seed: int, index: int, size: tuple[int, int], max_shapes: int, crowded: bool) -> Scene:
    """A scene, not to be changed: it is asked for again, for its name, its classes, in each epoch of few scenes."""
    return draw_scene(np.random.Generator(np.random.PCG64([seed, index])), size, max_shapes, crowded)


@DATASETS.register_module()
class RodConeShapes(BaseDataset):
    """Scenes of shapes on clutter, generated on request; no files.

    The generic class of an object is its shape, which is visible in luminance. Its fine class is its hue, at a luma
    (BT.709, Y' = 0.2126 R' + 0.7152 G' + 0.0722 B') that does not depend on it: from luminance alone, one hue in four
    can be named by chance. See :func:`~deepunetto_mm.datasets.shape_scenes.draw_scene`.

    A scene depends only on ``seed`` and its index. Use different seeds for training and validation.

    The pipeline starts with the results of ``LoadImageFromFile``, ``LoadAnnotations`` and ``LoadRegions``, with the
    picture in the channel order BGR, and ends with ``PackRegionInputs``. ``img_path`` is a name, not a file, so
    ``LoadImageFromFile`` in the pipeline is skipped: it is there for inferencers, which get files.

    Args:
        num_scenes: Number of scenes.
        seed: Seed of the scenes.
        size: Height and width in pixels, at least 64.
        max_shapes: Maximum number of shapes in a scene; some scenes have none.
        crowded: Most shapes are placed beside another one, so that many touch others of their group.
        pipeline: Transforms, as in mmengine.
        test_mode: Whether the scenes are for testing rather than training.
    """

    METAINFO = dict(
        classes=_TAXONOMY.classes,
        palette=[[0, 0, 0], [230, 159, 0], [86, 180, 233], [0, 158, 115]],
        # The hues as they look, at middle grey.
        fine_palette=[(step + 128).tolist() for _ in SHAPES for step in HUE_STEPS],
        taxonomy=_TAXONOMY.to_dict(),
    )

    def __init__(
        self,
        num_scenes: int,
        seed: int,
        size: tuple[int, int] = (128, 128),
        max_shapes: int = 6,
        crowded: bool = False,
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
    ) -> None:
        if num_scenes < 1:
            raise ValueError(f'RodConeShapes: num_scenes must be at least 1, got {num_scenes}')
        self.num_scenes = num_scenes
        self.seed = seed
        self.size = (size[0], size[1])
        self.max_shapes = max_shapes
        self.crowded = crowded
        self.taxonomy = _TAXONOMY
        super().__init__(pipeline=list(pipeline), test_mode=test_mode)
        transforms = self.pipeline.transforms
        self.pipeline.transforms = [item for item in transforms if type(item).__name__ != 'LoadImageFromFile']

    def load_data_list(self) -> list[dict]:
        """One entry per scene: the seed of its random numbers."""
        return [dict(scene=index) for index in range(self.num_scenes)]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Fine classes of a scene, for mmengine's ``ClassBalancedDataset``."""
        return sorted(set(self.get_data_info(idx)['regions']['fine_labels'].tolist()))

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Generate a scene, as the results of a pipeline after loading."""
        info = super().get_data_info(idx)
        scene = _draw(self.seed, info['scene'], self.size, self.max_shapes, self.crowded)
        ids = number_regions(len(scene.shapes))
        info.update(
            img=np.ascontiguousarray(scene.image[..., ::-1]),
            img_path=f'shapes_seed{self.seed}_{info["scene"]:05d}.png',
            img_shape=self.size,
            ori_shape=self.size,
            reduce_zero_label=False,
            gt_seg_map=scene.class_map.copy(),
            gt_region_map=np.concatenate([[0], ids]).astype(np.int32)[scene.region_map],
            seg_fields=['gt_seg_map', 'gt_region_map'],
            regions=dict(ids=ids, labels=scene.shapes.copy(), fine_labels=scene.shapes * len(HUES) + scene.hues),
            taxonomy=self.taxonomy,
        )
        return info
