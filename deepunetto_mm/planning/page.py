"""The plan as a page of pictures: a contact sheet with masks, and histograms, in one HTML file that loads nothing."""

from __future__ import annotations

import base64
from collections import Counter
from html import escape
from typing import Any, Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.visualization import drawing
from deepunetto_mm.visualization.label_names import LabelNames

from .fingerprint import Fingerprint, PictureFacts, count_names

_PICTURES, _SIDE = 24, 300
# A name, bars with the class of their colour, and the text beside them.
Row = tuple[str, list[tuple[str, float]], str]
_SPLITS = ('train', 'val', 'test')
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1320px; padding: 0 1em; color: #222; }
h2 { margin: 1.6em 0 .5em; } pre { white-space: pre-wrap; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px; }
figure { margin: 0; } figure img { width: 100%; display: block; background: #eee; } figcaption { font-size: 12px; }
.colour { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .8em; border: 1px solid #999; }
.columns { display: flex; flex-wrap: wrap; gap: 1em 3em; } table { border-spacing: 0 3px; }
td { padding: 0 8px 0 0; white-space: nowrap; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .9em; vertical-align: -1px; } .train { background: #3a6ea5; }
.val { background: #e08a1e; } .test { background: #888; } .all { background: #4b8b5a; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } }
"""


def plan_page(
    title: str,
    text: str,
    facts: Sequence[PictureFacts],
    splits: Mapping[str, str],
    data: Fingerprint,
    taxonomy: Taxonomy,
    read: Callable[[str], Mapping[str, Any]],
) -> str:
    """The page, as HTML.

    Args:
        title: Heading.
        text: The plan for people.
        facts: What each picture shows.
        splits: Split by the picture's name.
        data: The numbers of all pictures.
        taxonomy: Of the data.
        read: The dataset's results of a picture by its name: ``img``, ``gt_seg_map``, ``gt_region_map``, ``regions``.
    """
    count = len(taxonomy.classes)
    fine_palette = drawing.distinct_colours(count + len(taxonomy.fine_classes))[count:]
    names = LabelNames.from_meta(dict(taxonomy=taxonomy.to_dict(), fine_palette=fine_palette))
    figures = [_figure(item, splits, names, read(item.name)) for item in choose_pictures(facts, taxonomy)]
    legend = _legend('Tints', zip(names.classes, names.palette))
    if taxonomy.groups:
        legend += _legend('Outlines', zip(taxonomy.fine_classes, names.fine_palette))
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>\n<style>{_STYLE}</style>'
    sections = [
        f'<h1>{escape(title)}</h1>\n<h2>{len(figures)} of {len(facts)} pictures</h2>',
        f'{legend}<div class="sheet">\n{"".join(figures)}</div>',
        f'<h2>Numbers</h2>\n<div class="columns">\n{_numbers(facts, splits, data, taxonomy)}</div>',
        f'<h2>Plan</h2>\n<pre>{escape(text)}</pre>',
    ]
    return '\n'.join(['<!doctype html>\n<html lang="en">', head, *sections, '</html>\n'])


def _numbers(facts: Sequence[PictureFacts], splits: Mapping[str, str], data: Fingerprint, taxonomy: Taxonomy) -> str:
    of_split = {split: [item for item in facts if splits.get(item.name) == split] for split in _SPLITS}
    shares: list[Row] = [(name, [('all', share)], f'{100 * share:.1f} %') for name, share in data.classes.items()]
    parts = [_table('Share of the pixels', shares)]
    if data.regions:
        counts = {split: count_names(own, taxonomy) for split, own in of_split.items()}
        rows: list[Row] = []
        for name in taxonomy.fine_classes:
            bars: list[tuple[str, float]] = [(split, own[name]) for split, own in counts.items()]
            rows.append((name, bars, ' + '.join(str(number) for _, number in bars if number) or '0'))
        parts.append(_table('Objects, trained + validated (+ tested)', rows))
        sides = np.sqrt(np.concatenate([item.areas for item in facts]))
        parts.append(_table('Width of the objects in pixels (root of the area)', histogram(sides)))
        parts.append(_table('Objects in a picture', histogram(np.array([len(item.areas) for item in facts]))))
    pictures: list[Row] = [(split, [(split, len(own))], str(len(own))) for split, own in of_split.items() if own]
    return ''.join([*parts, _table('Pictures', pictures)])


def choose_pictures(facts: Sequence[PictureFacts], taxonomy: Taxonomy, most: int = _PICTURES) -> list[PictureFacts]:
    """Pictures to show, in their order: one of each fine class, the rarest first, and others at equal distances."""
    counts = count_names(facts, taxonomy)
    chosen: dict[int, None] = {}
    for name, _ in sorted(counts.items(), key=lambda item: item[1]):
        label = taxonomy.fine_classes.index(name)
        having = [index for index, item in enumerate(facts) if label in item.fine]
        if not any(index in chosen for index in having):
            chosen[having[len(having) // 2]] = None
    for index in np.linspace(0, len(facts) - 1, most).round().astype(int).tolist():
        chosen[index] = None
    return [facts[index] for index in sorted(list(chosen)[:most])]


def histogram(values: np.ndarray) -> list[Row]:
    """Rows of numbers from 0 on, in bins that double: 0, 1, 2 to 3, 4 to 7, ..."""
    bins = np.where(values >= 1, np.floor(np.log2(np.maximum(values, 1))) + 1, 0).astype(int)
    rows: list[Row] = []
    for number in range(bins.min(), bins.max() + 1):
        low, high = (0, 0) if number == 0 else (2 ** (number - 1), 2**number - 1)
        count = int((bins == number).sum())
        rows.append((str(low) if low == high else f'{low} to {high}', [('all', count)], str(count)))
    return rows


def _legend(title: str, colours: Iterable[tuple[str, drawing.Colour]]) -> str:
    entries = (
        f'<span class="colour" style="background: rgb{colour}"></span>{escape(name)}'
        for name, colour in colours
        if any(colour)
    )
    return f'<p>{title}: {"".join(entries)}</p>\n'


def _table(title: str, rows: Sequence[Row]) -> str:
    most = max([sum(value for _, value in values) for _, values, _ in rows] + [1e-9])
    lines = []
    for name, values, text in rows:
        bars = ''.join(
            f'<span class="bar {kind}" style="width: {180 * value / most:.1f}px"></span>' for kind, value in values
        )
        lines.append(f'<tr><td>{escape(name)}<td class="number">{text}<td>{bars}\n')
    return f'<div><h3>{title}</h3><table>\n{"".join(lines)}</table></div>\n'


def _figure(item: PictureFacts, splits: Mapping[str, str], names: LabelNames, results: Mapping[str, Any]) -> str:
    content = cv2.imencode('.jpg', draw(results, names)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    source = base64.b64encode(content).decode()
    found = Counter(names.fine(label) if label >= 0 else 'no name' for label in item.fine.tolist())
    listed = ', '.join(f'{number} {name}' for name, number in found.most_common(6))
    caption = escape(f'{item.name} ({splits.get(item.name, "left out")})' + (f': {listed}' if listed else ''))
    image = f'<img alt="{caption}" src="data:image/jpeg;base64,{source}">'
    return f'<figure>{image}<figcaption>{caption}</figcaption></figure>\n'


def draw(results: Mapping[str, Any], names: LabelNames, side: int = _SIDE) -> np.ndarray:
    """A picture at a longer side of ``side`` pixels, with tints of its classes and outlines of its regions.

    Args:
        results: Of the dataset, with ``img`` (H, W, 3) BGR of 0 to 255.
        names: Names and colours.
        side: Pixels of the longer side.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    image = np.clip(results['img'], 0, 255).astype(np.uint8)[..., ::-1]
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    image = cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=smooth)
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, (height, width)))
    mask, region_map = (results[key][rows[:, None], columns] for key in ('gt_seg_map', 'gt_region_map'))
    image = drawing.tint(image, mask.astype(np.int64), names.palette, 0.35)
    ids, fine = (results['regions'][key] for key in ('ids', 'fine_labels'))
    colours = np.zeros((int(max([0, *ids])) + 1, 3), np.uint8)
    colours[ids] = np.array([*names.fine_palette, (200, 200, 200)], np.uint8)[fine]  # -1 is the last one
    marked = drawing.outline(region_map, thickness=1)
    image[marked] = colours[region_map[marked]]
    return image
