"""Fonts for names in any script."""

import logging
import os
from functools import cache, lru_cache
from typing import Optional

from matplotlib.font_manager import findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

# Part of matplotlib, with more letters than OpenCV's. As a plain string: matplotlib's own kind is slow as a key.
USUAL = str(findfont('DejaVu Sans'))


def find_font(name: str) -> str:
    """The file of a font, given its file or its family.

    Raises:
        ValueError: If there is no such font.
    """
    try:
        file = name if os.path.isfile(name) else str(findfont(name, fallback_to_default=False))
        _letters_of(file)
    except (ValueError, RuntimeError, OSError) as error:
        raise ValueError(
            f'font {name!r} is neither the file of a font nor the family of an installed one; there are '
            f'{sorted(set(fontManager.get_font_names()))}'
        ) from error
    return file


@lru_cache(maxsize=4096)
def font_runs(text: str, file: str = USUAL) -> tuple[tuple[str, str], ...]:
    """A text as pieces that are each written in one font, with that font's file.

    A letter is written in ``file`` if the font has it, or else in matplotlib's font or an installed one. Installed
    fonts are listed when a letter first needs them. If none has a letter, there is one warning.
    """
    runs: list[tuple[str, str]] = []
    for letter in text:
        # Blanks and marks stay with the letters before them, because scripts are shaped as a whole.
        if runs and (letter.isspace() or ord(letter) in _letters_of(runs[-1][1])):
            runs[-1] = runs[-1][0] + letter, runs[-1][1]
            continue
        own = _font_with(letter, file)
        if own is None:
            _warn_of_lost()
        runs.append((letter, own or file))
    return tuple(runs)


@cache
def _font_with(letter: str, file: str) -> Optional[str]:
    for candidate in (file, USUAL, *_installed_fonts()):
        try:
            if ord(letter) in _letters_of(candidate):
                return candidate
        except (RuntimeError, OSError):  # deleted meanwhile, or of fixed sizes like emoji fonts
            continue
    return None


@lru_cache(maxsize=1)
def _installed_fonts() -> tuple[str, ...]:
    """Font files, upright ones of regular weight first. Matplotlib's list may be outdated: the system is asked too."""
    # Fonts of last resort have a box for every letter.
    listed = [entry for entry in fontManager.ttflist if 'Last Resort' not in entry.name]
    listed.sort(key=lambda entry: (entry.style != 'normal', entry.weight not in (400, 'normal', 'regular')))
    return tuple(dict.fromkeys([*(entry.fname for entry in listed), *sorted(findSystemFonts())]))


@cache
def _letters_of(file: str) -> frozenset[int]:
    ImageFont.truetype(file, 12)  # raises if it cannot be scaled
    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=1)
def _warn_of_lost() -> None:
    print_log(
        'names have letters that no installed font has, which are drawn as empty boxes; install a font that has them, '
        "or set its file: visualizer=dict(font='path/to/font.ttf') in the config",
        'current',
        logging.WARNING,
    )
