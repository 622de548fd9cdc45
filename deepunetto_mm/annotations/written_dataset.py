"""A dataset in the layout of ``CoarseFineDataset``, and what a config says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError


@dataclass
class WrittenDataset:
    """A dataset in the layout of ``CoarseFineDataset``, all pictures in one folder.

    Attributes:
        root: With ``images/``, ``masks/``, ``regions/``, ``labels.csv``, ``classes.json``.
        taxonomy: Its taxonomy.
        img_suffix: Suffix of the pictures.
        splits: Split by the picture's name; empty if none was given.
        composed: Names of the mask values, if masks have the specific classes.
        whole: Whether each picture is one object as a whole, because there are no masks.
        with_regions: Whether there are region maps.
        with_table: Whether there is a table of fine classes.
        problems: Errors; their pictures are left out.
        notes: What was decided.
    """

    root: Path
    taxonomy: Taxonomy
    img_suffix: str
    splits: dict[str, str] = field(default_factory=dict)
    composed: Optional[list[str]] = None
    whole: bool = False
    with_regions: bool = False
    with_table: bool = False
    problems: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_config(self, names_file: str = '') -> dict[str, Any]:
        """Options of ``CoarseFineDataset``, without the pipeline."""
        prefix = dict(img_path='images', seg_map_path='masks')
        if self.with_regions:
            prefix['region_map_path'] = 'regions'
        return dict(
            type='deepunetto_mm.CoarseFineDataset',
            data_root=str(self.root.resolve()),
            data_prefix=prefix,
            ann_file=names_file,
            img_suffix=self.img_suffix,
            fine_label_file='labels.csv' if self.with_table else None,
            metainfo=dict(taxonomy=self.taxonomy.to_dict()),
        )

    def annotation_transforms(self, min_area: int) -> list[dict[str, Any]]:
        """What reads the annotation of a picture; regions of fewer pixels are left out."""
        if self.composed is not None:
            return [dict(type='deepunetto_mm.LoadComposedAnnotations', labels=self.composed, min_area=min_area)]
        return [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions', min_area=min_area)]
