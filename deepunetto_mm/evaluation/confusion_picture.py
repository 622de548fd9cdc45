"""A confusion matrix as a picture, and as a table."""

import io
from pathlib import Path
from typing import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager

from deepunetto_mm.utils.files import csv_bytes, write_whole
from deepunetto_mm.utils.fonts import USUAL, font_runs

# With more classes than this the cells contain only percentages.
_MAX_COUNTS = 12
_MAX_NAME = 24
# With more classes the picture has no names, and with more cells no numbers: the table has them. 1,000 classes would
# make a picture of a gigapixel, and minutes of text.
_MAX_NAMED = 120
_MAX_TEXTS = 4000
_UNNAMED_SIDE = 20.0  # inches


def draw_confusion_matrix(confusion: np.ndarray, names: Sequence[str], path: str) -> None:
    """Draw the confusion matrix of the fine classes, in percent of each row.

    Args:
        confusion: (K + 1, K + 1) integers; rows are true classes and last "no region", columns are the predicted
            classes and last "not found".
        names: Names of the K fine classes.
        path: The PNG file to write; its folder is created, an older file is replaced. The numbers are written to a
            file of the same name that ends in ``.csv``, whose first row and column are the names.
    """
    target = Path(path)
    rows = ([name, *row] for name, row in zip([*names, 'no region'], confusion.tolist()))
    write_whole(target.with_suffix('.csv'), csv_bytes(['true class', *names, 'not found'], rows))
    size = len(names) + 1
    few, named = size <= _MAX_COUNTS + 1, size <= _MAX_NAMED + 1
    totals = confusion.sum(axis=1)
    percent = 100 * confusion / totals.clip(min=1)[:, None]
    side = 0.75 if few else 0.32 if named else _UNNAMED_SIDE / size  # inches a cell
    font = 9 if few else 7
    # pyplot keeps every figure in a global list and may need a display; a separate Figure does not.
    figure = Figure(figsize=(size * side + 3.5, size * side + 2.5), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(percent, cmap='Blues', vmin=0, vmax=100)
    axes.set_xlabel('named')
    axes.set_ylabel('true class (regions)')
    axes.set_title('percent of each true class', fontsize=font + 2)
    axes.axhline(size - 1.5, color='0.5', linewidth=1)
    axes.axvline(size - 1.5, color='0.5', linewidth=1)
    if named:
        _write_names(axes, names, totals, few, font)
    cells = np.argwhere(confusion)
    for row, column in cells if named and len(cells) <= _MAX_TEXTS else ():
        value = percent[row, column]
        text = f'{value:.1f}\n({confusion[row, column]:,})' if few else '<1' if value < 0.5 else f'{value:.0f}'
        axes.text(column, row, text, ha='center', va='center', fontsize=font, color='white' if value > 50 else 'black')
    content = io.BytesIO()
    figure.savefig(content, format='png', bbox_inches='tight')
    write_whole(target, content.getvalue())


def _write_names(axes: Axes, names: Sequence[str], totals: np.ndarray, few: bool, font: int) -> None:
    fonts = dict.fromkeys([USUAL, *(file for name in names for _, file in font_runs(name))])
    for file in set(fonts) - {entry.fname for entry in fontManager.ttflist}:
        fontManager.addfont(file)
    families = [FontProperties(fname=file).get_name() for file in fonts]
    short = [name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + '…' for name in names]
    # Without parse_math=False two dollar signs in a name would start a formula.
    axes.set_xticks(
        range(len(totals)),
        [*short, 'not found'],
        rotation=45 if few else 90,
        fontsize=font,
        fontfamily=families,
        ha='right' if few else 'center',
        rotation_mode='anchor' if few else 'default',
        parse_math=False,
    )
    rows = [f'{name} ({total:,})' for name, total in zip([*short, 'no region'], totals, strict=True)]
    axes.set_yticks(range(len(totals)), rows, fontsize=font, fontfamily=families, parse_math=False)
