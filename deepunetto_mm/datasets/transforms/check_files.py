"""A look at the files of a sample before they are decoded."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from deepunetto_mm.registry import TRANSFORMS

from ..integrity import PATHS, require_sound


@TRANSFORMS.register_module()
class CheckFiles(BaseTransform):
    """Refuse files that are truncated, that would fill the memory, or whose labels would not be read as they are.

    The datasets of this package do so by themselves. In the pipelines of others, of mmseg and mmpretrain for example,
    put it first::

        pipeline = [dict(type='deepunetto_mm.CheckFiles'), dict(type='LoadImageFromFile'), ...]

    Of each file, the first and last bytes are read. Files must be local.

    Looked at, where there are such keys: ``img_path``, ``seg_map_path`` (8 bits), ``region_map_path`` (16 bits).

    Raises:
        DataError: If a file is none of those; names it, and says how to fix it.
        FileNotFoundError: If a file is not there.
    """

    def transform(self, results: dict) -> dict:
        """Look, and change nothing."""
        for key in PATHS:
            require_sound(results, key)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
