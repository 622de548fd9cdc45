"""Seconds of a prediction, beside what people use instead: ``python tools/analysis_tools/peers.py``."""

from __future__ import annotations

import argparse
import ctypes
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope
from prettytable import PrettyTable
from torch import Tensor, nn

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.memory import forget_peak, memory_of_process
from deepunetto_mm.cli.runtime import load_config
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.config_parts import without_weights

DESCRIPTION = """
Measure the whole way from a picture to label map, regions and names, in one run: a config of DeepUNetto as it was
trained, prepared for inference, and in bfloat16, on a GPU also with regions found on the CPU; a network of mmseg
followed by a classifier of mmpretrain on the crops; smp.Unet followed by a classifier of timm, and alone. Weights are
random, and objects are planted into the logits of each network, so that all find the same regions. Needs
segmentation_models_pytorch (pip install -e .[bench]).
"""
CROP = 64  # side of the crops that timm's classifier gets
MIN_AREA = 100
# Pictures (H, W, 3) uint8 BGR to their results, in memory of the CPU, and the number of named regions (None: no names).
Way = Callable[[list[np.ndarray]], tuple[Any, Optional[int]]]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    parser.add_argument(
        'config', nargs='?', default='configs/deepunetto_cityscapes.py', help='a DeepUNetto over ResNet-34'
    )
    parser.add_argument('--size', nargs=2, type=int, default=(512, 1024), metavar=('H', 'W'), help='of the picture')
    parser.add_argument('--regions', type=int, default=20, help='objects in the picture')
    parser.add_argument('--batch', type=int, default=1, help='pictures that are given at once')
    parser.add_argument('--repeats', type=int, default=5, help='rounds, each of which measures every way once')
    parser.add_argument('--only', nargs='+', default=[], help='ways whose name contains one of these')
    parser.add_argument(
        '--process-time',
        action='store_true',
        help="seconds of the process's threads, summed, instead of wall time: for cores shared with other jobs",
    )
    parser.add_argument(
        '--memory',
        action='store_true',
        help='instead of seconds, memory that the first prediction adds to that of the network, each in a process of '
        'its own; on a GPU its memory, on a CPU under Linux that of the process',
    )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


class Planted:
    """Squares on a grid, of the classes in turn, as logits to add to those of a network; they do not touch.

    Args:
        size: Height and width of the picture.
        count: Number of squares.
        classes: Labels of the squares.
    """

    def __init__(self, size: tuple[int, int], count: int, classes: Sequence[int]) -> None:
        columns = max(round((count * size[1] / size[0]) ** 0.5), 1)
        rows = max(-(-count // columns), 1)
        cell = min(size[0] // rows, size[1] // columns)
        side = min(cell * 5 // 8, size[0] // 8) // 4 * 4
        if count and side * side < MIN_AREA:
            raise ValueError(
                f'--regions {count}: squares in {size[0]}x{size[1]} pixels would have fewer than {MIN_AREA} pixels'
            )
        self._made: dict[Any, Tensor] = {}
        self.labels = torch.zeros(size, dtype=torch.long)
        for i in range(count):
            y, x = i // columns * cell + cell // 4 // 4 * 4, i % columns * cell + cell // 4 // 4 * 4
            self.labels[y : y + side, x : x + side] = classes[i % len(classes)]

    def on(self, logits: Tensor) -> Tensor:
        """The logits (N, C, h, w) of a network with the squares in them."""
        # Made once: at full size it would take a tenth of the seconds of a network.
        key = (*logits.shape[1:], logits.dtype, logits.device)
        if key not in self._made:
            labels = F.interpolate(self.labels[None, None].float(), logits.shape[2:], mode='nearest')[0].long()
            self._made[key] = 9.0 * F.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2).contiguous().to(logits)
        # As if the network were sure, background included: random weights would find thousands of fragments.
        return torch.add(self._made[key], logits, alpha=1e-3)

    def into(self, head: nn.Module) -> None:
        """Plant them into the logits of a decode head of mmseg."""
        plain = head.forward
        head.forward = lambda *inputs: self.on(plain(*inputs))


def cut_out(picture: np.ndarray, labels: np.ndarray, classes: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Region map and crops of the connected components of classes: what people write themselves."""
    region_map, crops = np.zeros(labels.shape, np.int32), []
    for label in classes:
        mask = (labels == label).astype(np.uint8)
        count, components, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        region_map += components
        for x, y, width, height, area in stats[1:count]:
            if area >= MIN_AREA:
                crops.append(np.ascontiguousarray(picture[y : y + height, x : x + width]))
    return region_map, crops


def ours(cfg: Config, planted: Planted, prepared: bool = True, bf16: bool = False, backend: Any = None) -> Way:
    """The inferencer, with its list of regions and their run-length codes."""
    from mmengine.model import revert_sync_batchnorm  # here and below: --help would be slow

    from deepunetto_mm.apis import DeepUNettoInferencer

    inferencer = DeepUNettoInferencer(cfg, show_progress=False, bf16=bf16)
    if not prepared:
        inferencer.model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(inferencer.device).eval()
    proposer = inferencer.model.region_proposer
    proposer.backend, proposer.max_regions = backend, None  # the others name all regions, too
    planted.into(inferencer.model.decode_head)

    def run(pictures: list[np.ndarray]) -> tuple[Any, Optional[int]]:
        results = inferencer(pictures, batch_size=len(pictures))
        return results, sum(len(result['regions']) for result in results)

    return run


def mmseg_and_mmpretrain(path: str, planted: Planted, classes: Sequence[int], one_by_one: bool) -> Way:
    """``inference_model`` of mmseg, then the inferencer of mmpretrain on the crops."""
    import mmpretrain
    import mmseg
    from mmengine.model import revert_sync_batchnorm
    from mmseg.apis import inference_model

    init_default_scope('mmseg')
    cfg = Config.fromfile(Path(mmseg.__path__[0]) / '.mim' / 'configs' / path)
    without_weights(cfg.model)
    cfg.test_pipeline = [step for step in cfg.test_pipeline if step['type'] not in ('Resize', 'LoadAnnotations')]
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(get_device()).eval()
    model.cfg = cfg
    planted.into(model.decode_head)
    init_default_scope('mmpretrain')
    classifier = mmpretrain.ImageClassificationInferencer('resnet18_8xb32_in1k', pretrained=False, device=get_device())
    classifier.show_progress = False
    init_default_scope('mmseg')

    def run(pictures: list[np.ndarray]) -> tuple[Any, Optional[int]]:
        samples: Any = inference_model(model, pictures)
        labels = [sample.pred_sem_seg.data[0].cpu().numpy() for sample in samples]
        found = [cut_out(*item, classes) for item in zip(pictures, labels)]
        crops = [crop for _, own in found for crop in own]
        names = classifier(crops, batch_size=1 if one_by_one else len(crops)) if crops else []
        return (labels, found, names), len(crops)

    return run


def smp_and_timm(
    planted: Planted, classes: Sequence[int], num_classes: int, names: bool = True, bf16: bool = False
) -> Way:
    """smp.Unet over ResNet-34 and, if asked, a ResNet-18 of timm on the crops, written by hand."""
    import segmentation_models_pytorch as smp
    import timm

    device = get_device()
    net = smp.Unet('resnet34', encoder_weights=None, classes=num_classes).to(device).eval()
    fine = timm.create_model('resnet18', num_classes=8).to(device).eval()
    if bf16:
        net, fine = (model.to(memory_format=torch.channels_last) for model in (net, fine))
    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )

    def batch(pictures: list[np.ndarray]) -> Tensor:
        stacked = torch.from_numpy(np.stack(pictures)[..., ::-1].copy()).to(device)
        return (stacked.permute(0, 3, 1, 2).float() / 255 - mean) / std

    @torch.no_grad()
    def run(pictures: list[np.ndarray]) -> tuple[Any, Optional[int]]:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            labels = planted.on(net(batch(pictures))).argmax(1).cpu().numpy()
            if not names:
                return labels, None
            found = [cut_out(*item, classes) for item in zip(pictures, labels)]
            crops = [cv2.resize(crop, (CROP, CROP)) for _, own in found for crop in own]
            scores = fine(batch(crops)).softmax(1).cpu() if crops else None
        return (labels, found, scores), len(crops)

    return run


def ways(cfg: Config, size: tuple[int, int], regions: int) -> dict[str, Callable[[], Way]]:
    """What is compared, by name; each is built when it is called."""
    taxonomy = Taxonomy.from_dict(cfg.model.taxonomy)
    classes = [taxonomy.classes.index(group.members[0]) for group in taxonomy.groups]
    planted = Planted(size, regions, classes)
    without_weights(cfg.model)
    for step in list(cfg.test_dataloader.dataset.pipeline):
        if step['type'].endswith('Resize'):  # the picture has the size that is measured
            cfg.test_dataloader.dataset.pipeline.remove(step)
    unet = 'unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py'
    resnet = 'fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
    count = len(taxonomy.classes)
    on_cpu = {'DeepUNetto, bf16, regions found on the CPU': lambda: ours(cfg, planted, bf16=True, backend='cv2')}
    return {
        'DeepUNetto, as trained': lambda: ours(cfg, planted, prepared=False),
        'DeepUNetto': lambda: ours(cfg, planted),
        'DeepUNetto, bf16': lambda: ours(cfg, planted, bf16=True),
        **(on_cpu if torch.cuda.is_available() else {}),
        'smp.Unet ResNet-34 alone, no regions': lambda: smp_and_timm(planted, classes, count, names=False),
        'smp.Unet ResNet-34 + timm': lambda: smp_and_timm(planted, classes, count),
        'smp.Unet ResNet-34 + timm, bf16': lambda: smp_and_timm(planted, classes, count, bf16=True),
        'mmseg ResNet-18-D8 + mmpretrain, one batch': lambda: mmseg_and_mmpretrain(resnet, planted, classes, False),
        'mmseg ResNet-18-D8 + mmpretrain, crop by crop': lambda: mmseg_and_mmpretrain(resnet, planted, classes, True),
        'mmseg UNet-S5-D16 + mmpretrain, one batch': lambda: mmseg_and_mmpretrain(unet, planted, classes, False),
        'mmseg UNet-S5-D16 + mmpretrain, crop by crop': lambda: mmseg_and_mmpretrain(unet, planted, classes, True),
    }


def check_number(name: str, named: Optional[int], planted: int) -> None:
    """Refuse to compare a way that named other regions than those that were planted.

    Raises:
        ValueError: If their numbers differ.
    """
    if named not in (None, planted):
        raise ValueError(f'{name} named {named} regions, and {planted} were planted: choose other --regions')


def peak_memory(name: str, config: str, size: tuple[int, int], regions: int, batch: int) -> float:
    """MB that the first prediction of a way adds at its peak; for a process of its own."""
    cfg = load_config(config)
    init_default_scope(cfg.default_scope)
    run = ways(cfg, size, regions)[name]()
    pictures = random_pictures(size, batch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        used = torch.cuda.memory_allocated()
        run(pictures)
        return (torch.cuda.max_memory_allocated() - used) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # what building it freed must not hide what the prediction takes
    before = forget_peak()
    run(pictures)
    return (memory_of_process('VmHWM') - before) / 2**20


def random_pictures(size: tuple[int, int], count: int) -> list[np.ndarray]:
    """(H, W, 3) uint8 each."""
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8))


def compare_memory(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Measure the memory of the named ways, and print the table."""
    table = PrettyTable(['', 'memory, MB', 'ratio'])
    table.align = 'r'
    table.align[''] = 'l'
    base = None
    for name in names:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            peak = pool.submit(peak_memory, name, args.config, tuple(args.size), args.regions, args.batch).result()
        base = base or peak
        table.add_row([name, f'{peak:.0f}', f'{peak / base:.2f}'])
    print(table)


def compare(args: argparse.Namespace) -> None:
    """Measure all ways in turn, round by round, and print the table."""
    cfg = load_config(args.config)
    init_default_scope(cfg.default_scope)
    made = ways(cfg, tuple(args.size), args.regions)
    chosen = {name: make for name, make in made.items() if not args.only or any(part in name for part in args.only)}
    if args.memory:
        compare_memory(args, list(chosen))
        return
    runs = {name: make() for name, make in chosen.items()}
    pictures = random_pictures(tuple(args.size), args.batch)
    clock = time.process_time if args.process_time else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(args.repeats + 1):
        for name, run in runs.items():
            start = clock()
            _, named = run(pictures)  # the results are on the CPU, so that it waits for the GPU
            if number:  # the first one warms up
                seconds[name].append(clock() - start)
            check_number(name, named, args.regions * args.batch)
    table = PrettyTable(['', 'seconds', 'ratio', 'of the rounds'])
    table.align = 'r'
    table.align[''] = 'l'
    base = next(iter(seconds.values()))
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, base)]
        table.add_row(
            [
                name,
                f'{statistics.median(own):.3f}',
                f'{statistics.median(ratios):.2f}',
                f'{min(ratios):.2f} to {max(ratios):.2f}',
            ]
        )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
    size = 'x'.join(map(str, args.size))
    print(f'batches of {args.batch}, {size} pixels, {args.regions} regions, {device}, torch {torch.__version__}')
    print(table)


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        compare(args)


if __name__ == '__main__':
    main()
