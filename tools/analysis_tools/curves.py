"""Draw the curves of runs into one picture: ``python tools/analysis_tools/curves.py RUN RUN ...``."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.run_logs import read_log_lines
from deepunetto_mm.utils.errors import UsageError, suggest
from deepunetto_mm.utils.files import write_whole

USUAL = ('loss', 'mIoU', 'fine/recognition', 'fine/PQ')
# Iterations and values by the name of a figure.
Curves = dict[str, tuple[list[int], list[float]]]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw the curves of runs into one picture: a panel for each figure, losses and figures of the '
        'validation over the same iterations.'
    )
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory of a training, or its log: NAME.log.jsonl of a model'
    )
    parser.add_argument(
        '--metrics', nargs='+', metavar='NAME', help=f'figures as the log names them; default: {" ".join(USUAL)}'
    )
    parser.add_argument('--out', default='curves.png', metavar='FILE.png', help='the picture; default: curves.png')
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def read_curves(run: str) -> Curves:
    """Figures of a run, with those of the training that was resumed after an interruption.

    What a resumed training does again replaces what was lost. Where the validation was logged by epoch, as mmengine
    does by default, it stands at the last iteration that was logged before it.

    Args:
        run: Its work directory, or one file with its log.

    Raises:
        UsageError: If there is no log of a training.
    """
    curves: Curves = {}
    last = 0
    for entry in map(json.loads, read_log_lines(run)):
        if entry.get('iter', last + 1) <= last:
            for figure, (x, y) in curves.items():
                kept = sum(step < entry['iter'] for step in x)
                curves[figure] = x[:kept], y[:kept]
        last = entry.get('iter', max(last, entry.get('step', 0)))
        for figure, value in entry.items():
            if isinstance(value, (int, float)) and value == value:  # and not NaN
                x, y = curves.setdefault(figure, ([], []))
                x.append(last)
                y.append(value)
    if 'loss' not in curves:
        raise UsageError(
            f'{run} has no log of a training (*/vis_data/scalars.json): give its work directory, or a file of that form'
        )
    return curves


def draw_curves(runs: dict[str, Curves], metrics: list[str]) -> bytes:
    """A PNG with a panel for each metric, all over the same iterations.

    Args:
        runs: The curves of each run by its label.
        metrics: Names of the figures.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # not for --help, which it would slow down
    from matplotlib.figure import Figure

    # pyplot keeps every figure in a global list and may need a display; a separate Figure does not.
    figure = Figure(figsize=(9, 1 + 2.2 * len(metrics)), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for panel, metric in zip(panels, metrics):
        for number, curves in enumerate(runs.values()):
            x, y = curves.get(metric, ([], []))
            panel.plot(x, y, color=f'C{number}', linewidth=1.2, marker='o' if len(x) < 40 else '', markersize=3)
        panel.set_ylabel(metric)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel('iteration')
    handles = [panels[0].plot([], [], color=f'C{number}')[0] for number in range(len(runs))]
    figure.legend(handles, list(runs), loc='outside upper left', ncols=min(len(runs), 3), fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format='png')
    return content.getvalue()


def curves(args: argparse.Namespace) -> None:
    """Read, check the names, draw, and write."""
    names = [Path(run).resolve().name for run in args.runs]
    labels = names if len(set(names)) == len(names) else args.runs
    runs = {label: read_curves(run) for label, run in zip(labels, args.runs)}
    known = {figure for run in runs.values() for figure in run}
    unknown = [metric for metric in args.metrics or () if metric not in known]
    if unknown:
        raise UsageError(f'no run has logged {unknown[0]!r}{suggest(unknown[0], known)}: {", ".join(sorted(known))}')
    metrics = args.metrics or [metric for metric in USUAL if metric in known]
    write_whole(args.out, draw_curves(runs, metrics))
    for label, run in runs.items():
        last = ', '.join(f'{metric} {run[metric][1][-1]:.4g}' for metric in metrics if metric in run)
        print(f'{label}, iteration {run["loss"][0][-1]}: {last}')
    print(f'curves: {args.out}')


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        curves(args)


if __name__ == '__main__':
    main()
