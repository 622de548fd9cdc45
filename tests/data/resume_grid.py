"""Runs that are killed and resumed, beside runs that are not: ``python resume_grid.py [--plain]``.

Trains a shallow network with all that a run has: augmentation, dropout, sampled regions, clipped gradients, schedules,
averaged weights, running statistics, validation. For loops over epochs and iterations, without workers, with workers,
and with persistent ones, in one process and in two, it starts a run that kills itself (SIGKILL) within its second epoch,
a second one that resumes it, and compares what they leave behind with what an uninterrupted run without workers leaves,
process by process. With ``--plain`` mmengine does it without ReproducibleHook, and the other run has workers too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config
from deepunetto_mm.guards.safe_loading import safe_loading

STEPS, CUT_OFF = 6, 4  # two epochs of three batches
WORKERS = dict(zip(('0', '2', '2 persistent'), ((0, False), (2, False), (2, True))))
LOOPS = ('epoch', 'iter')


class CutOff(Hook):
    """Ends the run before a step, with a signal or else an exception."""

    priority = 'LOWEST'

    def __init__(self, with_signal: Optional[int]) -> None:
        self.with_signal = with_signal

    def before_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        if runner.iter == CUT_OFF:
            if self.with_signal is None:
                raise KeyboardInterrupt
            os.kill(os.getpid(), self.with_signal)


def train(
    work_dir: Path,
    loop: str,
    num_workers: int = 0,
    persistent: bool = False,
    launcher: str = 'none',
    cut_off: bool = False,
    resume: bool = False,
    plain: bool = False,
    with_signal: Optional[int] = None,
) -> dict[str, Any]:
    """Train in this process, and those that the launcher started beside it.

    Args:
        work_dir: For checkpoints and the log.
        loop: ``'epoch'`` or ``'iter'``; checkpoints are saved by iteration with both.
        num_workers: Of the loader.
        persistent: Whether the workers stay from epoch to epoch.
        launcher: As of the tools.
        cut_off: End before the step number ``CUT_OFF``.
        resume: Go on from the last checkpoint.
        plain: Without ReproducibleHook.
        with_signal: How to end.

    Returns:
        What the next step would depend on, in this process.
    """
    options = {
        'model.train_cfg': dict(regions='mixed', box_jitter=0.1, max_regions=2),
        'model.decode_head.dropout_ratio': 0.1,
        'optim_wrapper.clip_grad': dict(max_norm=1.0),
        'param_scheduler': [dict(type='CosineAnnealingLR', T_max=STEPS, by_epoch=False)],
        'default_hooks.checkpoint.interval': CUT_OFF,
        'resume': resume,
        # mmengine keeps loggers and visualizers by name for the whole process.
        'experiment_name': f'{work_dir}{resume}'.replace('/', '_'),
        'visualizer.name': f'{work_dir}{resume}'.replace('/', '_'),
    }
    cfg = load_config(str(Path(__file__).with_name('shallow_config.py')), options, str(work_dir), launcher)
    cfg.train_cfg = (
        dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=3)
        if loop == 'iter'
        else dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=1)
    )
    cfg.train_dataloader.sampler.type = 'InfiniteSampler' if loop == 'iter' else 'DefaultSampler'
    cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=persistent)
    cfg.train_dataloader.dataset.num_scenes = STEPS
    cfg.train_dataloader.dataset.pipeline[:0] = [
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
    ]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='EMAHook')]
    if plain:
        reproducible = 'deepunetto_mm.ReproducibleHook'
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != reproducible]
        cfg.default_hooks = {name: hook for name, hook in cfg.default_hooks.items() if hook['type'] != reproducible}
    initialise_distributed(cfg)
    fit_to_machine(cfg)
    cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=persistent)  # on one core, too
    cfg.train_dataloader.batch_size = 2 // get_world_size()
    runner = RUNNERS.build(cfg)
    if cut_off:
        runner.register_hook(CutOff(with_signal))
    try:
        with safe_loading():
            runner.train()
    except KeyboardInterrupt:
        pass
    model = getattr(runner.model, 'module', runner.model)
    ema = next(hook.ema_model for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    return dict(
        iteration=runner.iter,
        model=model.state_dict(),
        ema=ema.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        schedules=[scheduler.state_dict() for scheduler in runner.param_schedulers],
    )


def logged(work_dir: Path) -> dict[int, dict]:
    """The last of what was logged of each step, without the times, and of its validation."""
    entries: dict[int, dict] = {}
    for path in sorted(work_dir.rglob('scalars.json')):
        for entry in map(json.loads, path.read_text().splitlines()):
            timeless = {key: value for key, value in entry.items() if 'time' not in key and key != 'memory'}
            entries.setdefault(entry['step'], {}).update(timeless)
    return entries


def differences(one: Any, other: Any, name: str = '') -> list[str]:
    """Names of what differs in two nests of containers, by so much as a bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f'{name}.{key}'.lstrip('.'))]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        return [found for key, pair in enumerate(zip(one, other)) for found in differences(*pair, f'{name}.{key}')]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [name]
    nan = one != one and other != other  # noqa: PLR0124
    return [] if one == other or nan else [name]


def _launch(folder: Path, name: str, processes: int, **options: Any) -> tuple[list[dict], dict]:
    """What a run left behind in each process, and in its log."""
    work_dir = folder / name
    launcher = 'pytorch' if processes > 1 else 'none'
    arguments = json.dumps(dict(work_dir=str(work_dir), launcher=launcher, **options))
    start = [sys.executable]
    if processes > 1:
        start += ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([*start, __file__, '--train', arguments], capture_output=True, text=True, env=environment)
    if options.get('cut_off'):
        assert done.returncode != 0
        return [], {}
    assert done.returncode == 0, done.stderr
    ended = [torch.load(work_dir / f'ended_rank{rank}.pth', weights_only=True) for rank in range(processes)]
    return ended, logged(work_dir)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--plain', action='store_true', help='without ReproducibleHook')
    parser.add_argument('--train', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        options = json.loads(args.train)
        work_dir = Path(options.pop('work_dir'))
        ended = train(work_dir, **options)
        torch.save(ended, work_dir / f'ended_rank{get_rank()}.pth')
        return
    equal = 0
    with tempfile.TemporaryDirectory() as root:
        wholes: dict[tuple, tuple] = {}
        grid = list(itertools.product((1, 2), LOOPS, WORKERS))
        for processes, loop, kind in grid:
            folder = Path(root) / f'{processes}{loop}{kind}'.replace(' ', '')
            num_workers, persistent = WORKERS[kind]
            options = dict(loop=loop, num_workers=num_workers, persistent=persistent, plain=args.plain)
            other = options if args.plain else dict(loop=loop)
            key = (processes, *other.values())
            if key not in wholes:
                wholes[key] = _launch(folder, 'whole', processes, **other)
            _launch(folder, 'parts', processes, **options, cut_off=True, with_signal=signal.SIGKILL)
            resumed = _launch(folder, 'parts', processes, **options, resume=True)
            different = differences(resumed, wholes[key])
            equal += not different
            what = f'{len(different)} differ, such as {different[0]}' if different else 'equal'
            print(f'{processes} process(es), loop over {loop}s, workers: {kind}: {what}', flush=True)
    print(f'{equal} of {len(grid)} equal')
    sys.exit(equal < len(grid))


if __name__ == '__main__':
    main()
