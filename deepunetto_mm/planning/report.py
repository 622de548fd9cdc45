"""The plan in words: what was found and decided, and the files that say so."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.files import write_whole

from .fingerprint import Fingerprint, Machine

_SHOWN = 20  # messages of a kind in the text


@dataclass
class Plan:
    """What was found and decided.

    Attributes:
        config: The written config; None if training would be wasted.
        errors: Why it would be.
        warnings: What may be wrong.
        notes: What was decided about the annotations.
        lines: The plan in words.
        with_faulty: Whether there are errors of pictures that ``without_faulty`` leaves out.
    """

    config: Optional[Path]
    errors: list[str]
    warnings: list[str]
    notes: list[str]
    lines: list[str]
    with_faulty: bool = False

    def to_text(self) -> str:
        """The plan for people."""
        parts = list(self.lines)
        wasted = f'{len(self.errors)} error{"s" * (len(self.errors) > 1)}; training would be wasted'
        for title, messages in (
            ('What was assumed', self.notes),
            ('Look at', self.warnings),
            (wasted, self.errors),
        ):
            if messages:
                parts += [f'\n{title}:', *[f'  - {message}' for message in messages[:_SHOWN]]]
                parts += [f'  and {len(messages) - _SHOWN} more in plan.json'] * (len(messages) > _SHOWN)
        return '\n'.join(parts) + '\n'


def describe(data: Fingerprint, machine: Machine, splits: Mapping[str, str], taxonomy: Taxonomy) -> list[str]:
    """The data and the machine, a line for each matter."""
    counted = Counter(splits.values())
    sizes = ' to '.join(dict.fromkeys(f'{width}x{height}' for width, height in data.sizes))
    lines = [
        f'{data.pictures} pictures of {sizes} pixels, {data.bits} bits: '
        + ', '.join(f'{number} {split}' for split, number in sorted(counted.items())),
        'classes: ' + ', '.join(f'{name} {100 * share:.1f} %' for name, share in data.classes.items()),
    ]
    if data.regions:
        lines.append(
            f'{data.regions} objects, {data.regions_a_picture:g} in a picture (median), {data.area[2]:.0f} pixels '
            f'(5 to 95 %: {data.area[1]:.0f} to {data.area[3]:.0f}); {100 * data.touching:.0f} % touch another of '
            f'their kind, {100 * data.neighbours:.0f} % another of any kind, {data.without_region} pictures have none'
        )
        for group in taxonomy.groups:
            own = [f'{name} {data.fine_classes[name][0]}' for name in group.fine_classes]
            lines.append(f'{group.name}: ' + ', '.join(own))
    gpu = f', {machine.gpu} of {machine.gpu_memory:g} GiB' if machine.gpu else ', no GPU'
    lines.append(f'machine: {machine.cores} cores, {machine.memory:g} GiB{gpu}, torch {machine.torch}')
    return lines


def write_report(plan: Plan, out_dir: Path, content: dict[str, Any], page: Optional[Callable[[], str]] = None) -> Plan:
    """Write ``plan.json``, ``plan.txt`` and, from the page's HTML, ``plan.html``; returns the plan."""
    content.update(errors=plan.errors, warnings=plan.warnings, notes=plan.notes)
    write_whole(out_dir / 'plan.json', json.dumps(content, indent=1, ensure_ascii=False, default=str).encode())
    write_whole(out_dir / 'plan.txt', plan.to_text().encode())
    if page is not None:
        write_whole(out_dir / 'plan.html', page().encode())
    return plan
