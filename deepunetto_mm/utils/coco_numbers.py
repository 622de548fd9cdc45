"""Numbers in COCO's files that a tool has written as texts or fractions."""

import re
from typing import Any

_NUMBERS = ('id', 'image_id', 'category_id', 'height', 'width', 'iscrowd', 'ignore')


def restore_numbers(content: Any) -> None:
    """Turn ``'7'`` and ``7.0`` into 7, in place, under the keys of COCO's that are whole numbers.

    Tools that go through tables write them so. A flag of ``'0'`` would be taken for set.

    Args:
        content: What an annotation file holds, whatever it is.
    """
    for entries in content.values() if isinstance(content, dict) else ():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                for key in _NUMBERS:
                    if key in entry:
                        entry[key] = _whole(entry[key])
                restore_numbers({'segments_info': entry.get('segments_info')})


def _whole(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r'\s*-?[0-9]{1,18}\s*', value):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
