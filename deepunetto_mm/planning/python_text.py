"""Values and comments as Python that people read."""

from __future__ import annotations

from typing import Any

_WIDTH = 116


class Code(str):
    """A text that is code, not a string."""


def first_upper(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def comment(text: str) -> str:
    """Lines of a comment."""
    lines, line = [], '#'
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = '#'
        line += f' {word}'
    return '\n'.join([*lines, line]) + '\n'


def assign(name: str, value: Any) -> str:
    """An assignment."""
    return f'{name} = {code(value, 0, len(name) + 3)}\n'


def code(value: Any, indent: int, used: int = 0) -> str:
    """A value as Python, on one line if it fits."""
    if isinstance(value, Code):
        return str(value)
    flat = _flat(value)
    if len(flat) + indent + used <= _WIDTH or not isinstance(value, (dict, list)) or not value:
        return flat
    inner = ' ' * (indent + 4)
    if isinstance(value, dict):
        rows = [f'{inner}{key}={code(item, indent + 4, len(key) + 2)},' for key, item in value.items()]
        return 'dict(\n' + '\n'.join(rows) + '\n' + ' ' * indent + ')'
    if all(isinstance(item, (str, int, float)) for item in value):
        rows, row = [], inner
        for item in value:
            text = _flat(item) + ', '
            if len(row) + len(text) > _WIDTH:
                rows.append(row.rstrip())
                row = inner
            row += text
        return '[\n' + '\n'.join([*rows, row.rstrip()]) + '\n' + ' ' * indent + ']'
    return '[\n' + '\n'.join(f'{inner}{code(item, indent + 4)},' for item in value) + '\n' + ' ' * indent + ']'


def _flat(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, dict):
        return 'dict(' + ', '.join(f'{key}={_flat(item)}' for key, item in value.items()) + ')'
    if isinstance(value, list):
        return '[' + ', '.join(map(_flat, value)) + ']'
    if isinstance(value, tuple):
        return '(' + ', '.join(map(_flat, value)) + ',' * (len(value) == 1) + ')'
    return repr(value)
