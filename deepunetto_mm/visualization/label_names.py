"""Names and colours of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import torch
from mmengine.structures import InstanceData

from deepunetto_mm.structures import Taxonomy

from .drawing import Colour, distinct_colours

_UNKNOWN: Colour = (200, 200, 200)


@dataclass(frozen=True)
class LabelNames:
    """Names and colours of a dataset's labels; numbers replace names that the dataset does not have.

    Attributes:
        classes: Names of the segmentation classes.
        palette: RGB colour of each segmentation class.
        fine_palette: RGB colour of each fine class.
        taxonomy: Names of groups and fine classes, if there is one.
    """

    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    fine_palette: tuple[Colour, ...]
    taxonomy: Optional[Taxonomy]

    @classmethod
    def from_meta(cls, meta: Optional[dict]) -> LabelNames:
        """Read ``classes``, ``palette``, ``taxonomy`` and ``fine_palette`` of a dataset's metainfo; any may be missing.

        Raises:
            ValueError: If a palette does not have one colour for each class.
        """
        meta = meta or {}
        taxonomy = Taxonomy.from_dict(meta['taxonomy']) if meta.get('taxonomy') else None
        classes = tuple(meta.get('classes') or (taxonomy.classes if taxonomy else ()))
        palette = _palette('palette', meta, classes)
        fine_palette = _palette('fine_palette', meta, taxonomy.fine_classes if taxonomy else ())
        return cls(classes, palette, fine_palette, taxonomy)

    def fine(self, label: int) -> str:
        """Name of a fine class."""
        fine_classes = self.taxonomy.fine_classes if self.taxonomy else ()
        return fine_classes[label] if label < len(fine_classes) else f'fine class {label}'

    def group(self, label: int) -> str:
        """Name of a group."""
        groups = self.taxonomy.groups if self.taxonomy else ()
        return groups[label].name if label < len(groups) else f'group {label}'

    def describe(self, regions: InstanceData) -> tuple[list[str], list[Colour], list[str]]:
        """Describe each of R regions.

        Args:
            regions: Regions with ``labels``, and ``fine_labels``, ``fine_scores`` and ``scores`` if available.

        Returns:
            R names of the fine class, or of the group if the fine class is not known (label -1); R colours of the
            fine class, grey if it is not known; R names with their score, such as ``'daisy 0.93'``, if scores
            exist.
        """
        groups = torch.as_tensor(regions.labels).tolist()
        fine = torch.as_tensor(regions.fine_labels).tolist() if 'fine_labels' in regions else [-1] * len(groups)
        highest = max([*fine, -1])
        palette = self.fine_palette if highest < len(self.fine_palette) else distinct_colours(highest + 1)
        names, colours, texts = [], [], []
        for row, (group, label) in enumerate(zip(groups, fine)):
            names.append(self.group(group) if label < 0 else self.fine(label))
            colours.append(_UNKNOWN if label < 0 else palette[label])
            score = None
            if label >= 0 and 'fine_scores' in regions:
                score = float(regions.fine_scores[row, label])
            elif label < 0 and 'scores' in regions:
                score = float(regions.scores[row])
            texts.append(names[-1] if score is None else f'{names[-1]} {score:.2f}')
        return names, colours, texts


def _palette(key: str, meta: dict, names: Sequence[str]) -> tuple[Colour, ...]:
    palette = meta.get(key)
    if not palette:
        # Black is not drawn: a tint on all that is behind the objects would only hide the picture.
        palette = [
            (0, 0, 0) if name.lower() == 'background' else colour
            for name, colour in zip(names, distinct_colours(len(names)))
        ]
    if len(palette) != len(names):
        raise ValueError(
            f'metainfo has {len(palette)} colours in its {key!r} for {len(names)} classes; give one RGB colour '
            'for each class'
        )
    return tuple((int(red), int(green), int(blue)) for red, green, blue in palette)
