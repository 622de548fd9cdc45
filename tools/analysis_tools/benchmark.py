"""Cost of configs side by side: ``python tools/analysis_tools/benchmark.py CONFIG CONFIG ...``."""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Mapping, Optional

import torch
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from prettytable import PrettyTable
from torch.utils.flop_counter import FlopCounterMode

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.runtime import load_config
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import View
from deepunetto_mm.utils.config_parts import without_weights


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Measure the cost of configs: the ratios are relative to the first one.'
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    parser.add_argument(
        '--size', nargs=2, type=int, default=(512, 1024), metavar=('H', 'W'), help='size of the picture'
    )
    parser.add_argument('--regions', type=int, default=20, help='objects in the picture')
    parser.add_argument('--repeats', type=int, default=5, help='number of measurements; the median is shown')
    parser.add_argument('--batch', type=int, default=2, help='pictures per training step; 0 measures no step')
    parser.add_argument('--channels-last', action='store_true', help='as deepunetto_mm.ChannelsLastHook does')
    parser.add_argument('--bf16', action='store_true', help='the training step as deepunetto_mm.BFloat16Hook does')
    parser.add_argument('--compile', action='store_true', help='compile the training step as deepunetto_mm.CompileHook')
    parser.add_argument(
        '--process-time',
        action='store_true',
        help="seconds of the process's threads, summed, instead of wall time: for cores shared with other jobs",
    )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def measure(
    path: str,
    size: tuple[int, int],
    regions: int,
    repeats: int,
    channels_last: bool,
    batch: int = 2,
    process_time: bool = False,
    compiled: bool = False,
    bf16: bool = False,
) -> dict[str, float]:
    """Measure one config, in a separate process, because the peak of memory is that of a process.

    Returns:
        ``parameters`` in millions, ``gflop`` of all maps of a picture and ``gflop_names`` of naming its regions (a
        multiplication and an addition are two), ``segment``, ``find`` and ``name``, seconds: of the maps, of regions in
        maps that a perfect network would paint, and of their names; ``memory`` in MB, the peak of these above that of
        the network; ``step``, seconds of losses and gradients of ``batch`` pictures. For a classifier of mmpretrain
        ``segment`` and ``gflop`` are those of the whole prediction, including the naming of regions. What a config does
        not have takes 0 seconds.
    """
    from mmengine.model import revert_sync_batchnorm  # here and below: --help would be slow
    from mmengine.optim import OptimWrapper

    cfg = load_config(path)
    init_default_scope(cfg.default_scope)
    without_weights(cfg.model)  # they do not affect the cost
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(get_device()).eval()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    clock = time.process_time if process_time else time.perf_counter
    inputs = torch.randn(1, 3, *size, device=get_device())
    found, region_map = _boxes(size, regions)

    def look() -> tuple[Any, Any]:
        if hasattr(model, 'decode_head'):
            feats = model.extract_feat(inputs)
            own = hasattr(model, 'paint_feats')  # with dense heads
            return feats, model.paint_feats(feats) if own else dict(logits=model.decode_head(feats))
        return None, model(inputs, [_annotated(model, size, found, region_map)])

    def name_all() -> None:
        maps = model.maps(painted).resized(size)
        by_pixels = model.fine_branch
        if model.with_fine:
            model.fine_branch(View(inputs, feats, maps), [found], region_map)
            by_pixels = model.fine_branch.pixel_names
        if by_pixels is not None:
            by_pixels.predict([], [found], region_map, [maps])

    with torch.no_grad():
        before = _memory()
        with FlopCounterMode(display=False) as counter:
            feats, painted = look()
        gflop = counter.get_total_flops() / 1e9
        segment = _median_time(look, repeats, clock)
        find = name = gflop_names = 0.0
        if getattr(model, 'with_regions', False) and len(found):
            found.group_probs = inputs.new_ones(len(found), len(model.taxonomy.groups))
            perfect = _perfect_maps(painted, model.taxonomy, found, region_map)
            find = _median_time(lambda: model.region_proposer(model.maps(perfect)), repeats, clock)
            with FlopCounterMode(display=False) as counter:
                name_all()
            gflop_names = counter.get_total_flops() / 1e9
            name = _median_time(name_all, repeats, clock)
        memory = _memory() - before

    pictures = inputs.expand(batch, -1, -1, -1)
    samples = [_annotated(model, size, found, region_map) for _ in range(batch)]

    def step() -> None:
        with optim_wrapper.optim_context(model):
            loss, _ = model.parse_losses(model(pictures, samples, mode='loss'))
        loss.backward()
        model.zero_grad(set_to_none=True)

    model.train()
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
    runner = SimpleNamespace(model=model, optim_wrapper=optim_wrapper)
    if compiled or bf16:
        from deepunetto_mm.engine import BFloat16Hook, CompileHook

        for hook, wanted in ((CompileHook, compiled), (BFloat16Hook, bf16)):
            if wanted:
                hook().before_train(runner)
    return dict(
        parameters=sum(p.numel() for p in model.parameters()) / 1e6,
        gflop=gflop,
        gflop_names=gflop_names,
        segment=segment,
        find=find,
        name=name,
        memory=memory / 2**20,
        step=_median_time(step, repeats, clock) if batch else 0.0,
    )


def _annotated(model: Any, size: tuple[int, int], regions: InstanceData, region_map: torch.Tensor) -> SegDataSample:
    """A data sample with random classes, the regions, and the first fine class for all regions and the picture."""
    device = region_map.device
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=torch.randint(0, getattr(model, 'num_classes', 1), (1, *size), device=device)),
        gt_region_map=PixelData(data=region_map),
    )
    sample.set_data(dict(gt_centre_map=PixelData(data=torch.zeros(3, *size, device=device))))
    first = torch.zeros_like(regions.ids)
    annotated = InstanceData(ids=regions.ids, labels=first, bboxes=regions.bboxes, fine_labels=first)
    sample.set_data(dict(gt_regions=annotated, gt_label=torch.zeros(1, dtype=torch.long, device=device)))
    return sample


def _boxes(size: tuple[int, int], count: int) -> tuple[InstanceData, torch.Tensor]:
    """``count`` regions, squares side by side, and their map (1, H, W).

    Their side is an eighth of the height, or less if there would be no room for all.
    """
    most = (size[0] // 4) * (size[1] // 4)
    if count > most:
        raise ValueError(f'--regions must be at most {most} for this size, got {count}')
    rows, device = 8, get_device()
    while count > rows * (size[1] // (size[0] // rows)):
        rows += 1
    side = size[0] // rows
    columns = size[1] // side
    corners = torch.tensor([[i % columns * side, i // columns * side] for i in range(count)]).reshape(count, 2)
    region_map = torch.zeros(1, *size, dtype=torch.long)
    for number, (x, y) in enumerate(corners.tolist(), start=1):
        region_map[0, y : y + side, x : x + side] = number
    found = InstanceData(
        ids=torch.arange(1, count + 1),
        labels=torch.zeros(count, dtype=torch.long),
        bboxes=torch.cat([corners, corners + side], dim=1).float(),
    )
    return found.to(device), region_map.to(device)


def _perfect_maps(
    painted: Mapping[str, torch.Tensor], taxonomy: Taxonomy, regions: InstanceData, region_map: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Maps (1, C, H, W) with the names and channels of ``painted``, of a network that is sure of the regions.

    Heat and vectors are those that a ``CentreOffsetHead`` learns; other maps than these and the class logits are 0.
    """
    size, device = region_map.shape[1:], region_map.device
    maps = {name: torch.zeros(1, x.shape[1], *size, device=device) for name, x in painted.items()}
    of_object = taxonomy.group_of_class.index(0) if maps['logits'].shape[1] > 1 else 0
    maps['logits'][:, of_object] = torch.where(region_map > 0, 9.0, -9.0)
    centres = (regions.bboxes[:, :2] + regions.bboxes[:, 2:] - 1) / 2
    pixels = torch.stack(torch.meshgrid(*(torch.arange(n, device=device) for n in size), indexing='ij')[::-1], -1)
    to_centre = torch.where(region_map[0, ..., None] > 0, centres[region_map[0] - 1] - pixels, 0)
    for name, own in maps.items():
        if name.endswith('.vectors'):
            own[0] = to_centre.permute(2, 0, 1)
        elif name.endswith('.heat'):
            x, y = centres.long().unbind(1)
            own[0, 0, y, x] = 1
    return maps


def _median_time(run: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        _wait()
        start = clock()
        run()
        _wait()
        seconds.append(clock() - start)
    return statistics.median(seconds[1:])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _memory() -> int:
    """The peak so far, in bytes: of the GPU, or of the process without one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def benchmark(args: argparse.Namespace) -> None:
    """Measure every config and print the table."""
    table = PrettyTable(
        [
            'config',
            'M parameters',
            'GFLOP',
            f'of {args.regions} names',
            'segment, s',
            f'find {args.regions}, s',
            f'name {args.regions}, s',
            'pictures/s',
            'ratio',
            f'step of {args.batch}, s',
            'step ratio',
            'memory, MB',
        ]
    )
    table.align = 'r'
    table.align['config'] = 'l'
    base: Optional[dict[str, float]] = None
    for path in args.configs:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            cost = pool.submit(
                measure,
                path,
                tuple(args.size),
                args.regions,
                args.repeats,
                args.channels_last,
                args.batch,
                args.process_time,
                args.compile,
                args.bf16,
            ).result()
        cost['speed'] = 1 / (cost['segment'] + cost['find'] + cost['name'])
        base = base or cost
        table.add_row(
            [
                Path(path).name,
                f'{cost["parameters"]:.1f}',
                f'{cost["gflop"]:.1f}',
                f'{cost["gflop_names"]:.1f}',
                f'{cost["segment"]:.3f}',
                f'{cost["find"]:.3f}',
                f'{cost["name"]:.3f}',
                f'{cost["speed"]:.2f}',
                f'{cost["speed"] / base["speed"]:.2f}',
                *((f'{cost["step"]:.3f}', f'{cost["step"] / base["step"]:.2f}') if args.batch else ('-', '-')),
                f'{cost["memory"]:.0f}',
            ]
        )
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
    print(f'one picture of {args.size[0]}x{args.size[1]} pixels, {machine}, torch {torch.__version__}')
    print(table)


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        benchmark(args)


if __name__ == '__main__':
    main()
