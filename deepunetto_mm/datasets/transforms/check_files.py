"""Checks of a sample's files before they are decoded."""

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform

from ..integrity import PATHS, require_sound


@TRANSFORMS.register_module()
class CheckFiles(Transform):
    """Reject files that are truncated, would exhaust the memory, or contain labels that would be misread.

    The datasets of this package do this already. In pipelines of others, for example of mmseg and mmpretrain,
    put it first::

        pipeline = [dict(type='deepunetto_mm.CheckFiles'), dict(type='LoadImageFromFile'), ...]

    It reads the first and last bytes of each file. Files must be local.

    Checked keys, if present: ``img_path``, ``seg_map_path`` (8 bits), ``region_map_path`` (16 bits).

    Raises:
        DataError: If a file is invalid; names it, and how to fix it.
        FileNotFoundError: If a file does not exist.
    """

    def transform(self, results: dict) -> dict:
        """Check, and change nothing."""
        for key in PATHS:
            require_sound(results, key)
        return results
