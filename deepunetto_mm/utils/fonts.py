"""Fonts for names in any script."""

from __future__ import annotations

import logging
import os
from functools import cache, lru_cache
from typing import Optional

from matplotlib.font_manager import findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font
from mmengine.logging import print_log
from PIL import ImageFont

USUAL = findfont('DejaVu Sans')  # comes with matplotlib, and has more letters than OpenCV's


def find_font(name: str) -> str:
    """The file of a font that is named by its file or its family.

    Raises:
        ValueError: If there is no such font.
    """
    try:
        file = name if os.path.isfile(name) else findfont(name, fallback_to_default=False)
        _letters_of(file)
    except (ValueError, RuntimeError, OSError) as error:
        raise ValueError(
            f'font {name!r} is neither the file of a font nor the family of an installed one; there are '
            f'{sorted(set(fontManager.get_font_names()))}'
        ) from error
    return file


def font_runs(text: str, file: str = USUAL) -> list[tuple[str, str]]:
    """A text in pieces that are each written in one font, with that font's file.

    A letter is written in ``file`` if that has it, or else in matplotlib's font or an installed one. Which fonts are
    installed is looked up once a letter asks for it. If none has a letter, this is warned of once.
    """
    runs: list[tuple[str, str]] = []
    for letter in text:
        # Blanks and marks stay with the letters before them: scripts are shaped as a whole.
        if runs and (letter.isspace() or ord(letter) in _letters_of(runs[-1][1])):
            runs[-1] = runs[-1][0] + letter, runs[-1][1]
            continue
        own = _font_with(letter, file)
        if own is None:
            _warn_of_lost()
        runs.append((letter, own or file))
    return runs


@cache
def _font_with(letter: str, file: str) -> Optional[str]:
    for candidate in (file, USUAL, *_installed_fonts()):
        try:
            if ord(letter) in _letters_of(candidate):
                return candidate
        except (RuntimeError, OSError):  # gone meanwhile, or of fixed sizes as fonts of emojis are
            continue
    return None


@lru_cache(maxsize=1)
def _installed_fonts() -> tuple[str, ...]:
    """Files, upright ones of usual weight first. Matplotlib lists them once in a while, so the system is asked too."""
    # Fonts of last resort have a box for every letter.
    listed = [entry for entry in fontManager.ttflist if 'Last Resort' not in entry.name]
    listed.sort(key=lambda entry: (entry.style != 'normal', entry.weight not in (400, 'normal', 'regular')))
    return tuple(dict.fromkeys([*(entry.fname for entry in listed), *sorted(findSystemFonts())]))


@cache
def _letters_of(file: str) -> frozenset[int]:
    ImageFont.truetype(file, 12)  # or an error, if it cannot be scaled
    return frozenset(FT2Font(file).get_charmap())


@lru_cache(maxsize=1)
def _warn_of_lost() -> None:
    print_log(
        'names have letters that no installed font has, which are drawn as empty boxes; install a font that has them, '
        "or name its file: visualizer=dict(font='path/to/font.ttf') in the config",
        'current',
        logging.WARNING,
    )
