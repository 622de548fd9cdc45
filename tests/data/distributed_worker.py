"""Short trainings, to compare processes with.

``main`` writes the parameters that each training ended with, as each process has them, to a file. The test also trains
in one process what these trained in two.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, RUNNERS
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel

from deepunetto_mm.cli.runtime import fit_to_machine, initialise_distributed, load_config
from deepunetto_mm.cli.runtime import FSDP_NEEDS_GPU
from deepunetto_mm.datasets import RodConeShapes

# Scenes of RodConeShapes of 64x64 pixels with seed 0, in the order in which they are trained on, two a step.
SCENES = dict(
    two_shapes_each=[1, 2, 7, 9, 17, 32, 36, 42],
    # The second of two processes has nothing to name in steps 1 and 2, neither has in step 3.
    some_without_shapes=[1, 35, 2, 44, 48, 76, 7, 9],
)
STEPS = 4
CENTRES = dict(
    type='deepunetto_mm.CentreOffsetHead',
    in_channels=8,
    norm_cfg=dict(type='GN', num_groups=4),
    heat_weight=1.0,
    vector_weight=0.01,
)
SHARDS = dict(
    type='FSDPStrategy',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        auto_wrap_policy=dict(type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy', min_num_params=2000),
    ),
)


@DATASETS.register_module()
class PickedScenes(RodConeShapes):
    """Some of the scenes, in the given order."""

    def __init__(self, scenes: list[int], **kwargs: Any) -> None:
        self.scenes = scenes
        super().__init__(num_scenes=len(scenes), **kwargs)

    def load_data_list(self) -> list[dict]:
        return [dict(scene=scene) for scene in self.scenes]


@HOOKS.register_module()
class PoisonHook(Hook):
    """The losses of the last process are nan in the second step."""

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        def poison(module: torch.nn.Module, args: tuple, losses: dict) -> dict:
            hit = runner.iter == 1 and get_rank() == get_world_size() - 1
            return {key: value * float('nan') for key, value in losses.items()} if hit else losses

        runner.model.register_forward_hook(poison)


def train(
    scenes: str,
    work_dir: Path,
    launcher: str = 'none',
    accumulative_counts: int = 1,
    sharded: bool = False,
    poisoned: bool = False,
    centres: bool = False,
) -> Tensor:
    """Train ``STEPS`` steps on two scenes each, over all processes and accumulated gradients together.

    Args:
        scenes: Which of ``SCENES``.
        work_dir: For the log.
        launcher: As of the tools.
        accumulative_counts: Number of batches of a step.
        sharded: Shard the parameters over the processes (FSDP).
        poisoned: The last process has losses of nan in the second step, which is to be skipped.
        centres: Learn the centres of shapes too.

    Returns:
        All parameters in a row.
    """
    norm_cfg = dict(type='GN', num_groups=4)
    options = {
        'model.backbone.backbone.norm_cfg': norm_cfg,
        'model.decode_head.norm_cfg': norm_cfg,
        'model.train_cfg.box_jitter': 0.0,  # the processes draw random numbers of their own
        'train_dataloader.dataset.type': 'PickedScenes',
        'train_dataloader.dataset.scenes': SCENES[scenes],
        'train_dataloader.sampler.shuffle': False,
        'train_cfg.max_iters': STEPS * accumulative_counts,
        'optim_wrapper.optimizer': dict(type='SGD', lr=0.1, momentum=0.9),
        'optim_wrapper.accumulative_counts': accumulative_counts,
        **{f'val_{key}': None for key in ('dataloader', 'cfg', 'evaluator')},
        'default_hooks.checkpoint': None,
        'experiment_name': work_dir.name,
        **({'default_hooks.non_finite.policy': 'skip', 'custom_hooks': [dict(type='PoisonHook')]} if poisoned else {}),
        **({'runner_type': 'FlexibleRunner', 'strategy': SHARDS} if sharded else {}),
    }
    cfg = load_config(str(Path(__file__).with_name('shallow_config.py')), options, str(work_dir), launcher)
    cfg.train_dataloader.dataset.pop('num_scenes')
    if centres:
        cfg.model.dense_heads = dict(centres=CENTRES)
        cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type='deepunetto_mm.AddCentreTargets'))
    initialise_distributed(cfg)
    fit_to_machine(cfg)
    cfg.train_dataloader.batch_size = 2 // (get_world_size() * accumulative_counts)
    runner = RUNNERS.build(cfg)
    runner.train()
    whole = FullyShardedDataParallel.summon_full_params(runner.model) if sharded else nullcontext()
    with whole:
        return torch.cat([parameter.detach().flatten() for parameter in runner.model.parameters()])


def resumed_beside_uninterrupted(folder: Path, loop: str) -> list[str]:
    """What differs in this process between a run that was cut off and resumed, with workers, and one without."""
    sys.path.insert(0, str(Path(__file__).parent))
    import resume_grid

    options = dict(loop=loop, launcher='pytorch')
    whole = resume_grid.train(folder / f'whole_{loop}', **options)
    options.update(num_workers=2, persistent=loop == 'epoch')
    resume_grid.train(folder / f'parts_{loop}', **options, cut_off=True)
    resumed = resume_grid.train(folder / f'parts_{loop}', **options, resume=True)
    logs = [resume_grid.logged(folder / f'{name}_{loop}') if is_main_process() else {} for name in ('parts', 'whole')]
    return resume_grid.differences([resumed, logs[0]], [whole, logs[1]])


def main(out: Path) -> None:
    ended = {
        'two_shapes_each': train('two_shapes_each', out.parent / 'two', 'pytorch'),
        'some_without_shapes': train('some_without_shapes', out.parent / 'without', 'pytorch'),
        'poisoned': train('two_shapes_each', out.parent / 'poisoned', 'pytorch', poisoned=True),
        'centres': train('some_without_shapes', out.parent / 'centres', 'pytorch', centres=True),
        'resumed': {loop: resumed_beside_uninterrupted(out.parent, loop) for loop in ('epoch', 'iter')},
    }
    if not FSDP_NEEDS_GPU:
        ended['sharded'] = train('two_shapes_each', out.parent / 'sharded', 'pytorch', sharded=True)
    of_processes = all_gather_object(ended)
    if is_main_process():
        torch.save(of_processes, out)
