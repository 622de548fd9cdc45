"""Memory for many, crowded and very large pictures: ``python tools/analysis_tools/load.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import cv2
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable, TableStyle

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.cli.memory import forget_peak, memory_of_process
from deepunetto_mm.cli.runtime import load_config

CASES = ('small', 'regions', 'large', 'plain')
SCENE = 128  # pixels of a side; large pictures are mosaics of scenes
GROWTH = 0.01  # maximum growth of the memory of the process, while it predicts small pictures
MB = 10**6


def memory_bound(pixels: int, groups: int, regions: int) -> int:
    """Maximum bytes for a picture, including its reading, prediction without logits, files and drawing.

    Args:
        pixels: Number of pixels.
        groups: Number of groups of the taxonomy.
        regions: Number of found regions.
    """
    return 600 * MB + (24 + 4 * groups) * pixels + 20_000 * regions


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Predict on many small pictures in one process, on a picture with thousands of regions, and on a '
        'very large one, all of scenes of RodConeShapes; measure the memory, and exit with 1 if it exceeds its '
        'bound. "plain" is the same network as an EncoderDecoder of mmseg with a sliding window. Only on Linux.'
    )
    parser.add_argument('config', help='config file of a DeepUNetto for RodConeShapes')
    parser.add_argument('checkpoint', nargs='?', help='its weights; without, they are random and predict noise')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=CASES, help='what to measure')
    parser.add_argument('--pictures', type=int, default=10_000, help='small pictures, the first tenth to warm up')
    parser.add_argument('--regions', type=int, default=5_000, help='minimum number of objects in the crowded picture')
    parser.add_argument('--size', nargs=2, type=int, default=(9_000, 12_000), metavar=('H', 'W'), help='large picture')
    parser.add_argument(
        '--plain-size', nargs=2, type=int, default=(3_000, 4_000), metavar=('H', 'W'), help="plain mmseg's picture"
    )
    parser.add_argument(
        '--plain-classes',
        nargs='+',
        type=int,
        default=(4, 19),
        help="of plain mmseg's network, whose weights are random",
    )
    parser.add_argument('--tile', type=int, default=768, help='pixels of a side of a tile, and of a window of mmseg')
    parser.add_argument('--margin', type=int, default=64, help='context of a tile on each side, in pixels')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='load the checkpoint even if it may execute code'
    )
    parser.add_argument('--traceback', action='store_true', help='show the traceback of an error')
    return parser.parse_args()


def lay_scenes(height: int, width: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 BGR of scenes side by side, and (H, W) int32 the number of its object at each pixel."""
    from deepunetto_mm.datasets import RodConeShapes  # here and below: --help would be slow

    rows, columns = -(-height // SCENE), -(-width // SCENE)
    scenes = RodConeShapes(num_scenes=rows * columns, seed=seed, size=(SCENE, SCENE))
    picture, objects, count = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.int32), 0
    for i in range(rows * columns):
        top, left = SCENE * (i // columns), SCENE * (i % columns)
        place = slice(top, top + SCENE), slice(left, left + SCENE)
        part = picture[place]
        scene = scenes.get_data_info(i)
        part[:] = scene['img'][: part.shape[0], : part.shape[1]]
        ids, numbers = np.unique(scene['gt_region_map'][: part.shape[0], : part.shape[1]], return_inverse=True)
        numbers = numbers.reshape(part.shape[:2]) + (ids[0] > 0)
        objects[place] = np.where(numbers > 0, numbers + count, 0)
        count += int(np.count_nonzero(ids))
    return picture, objects


def count_found(objects: np.ndarray, region_map: np.ndarray) -> int:
    """Number of objects of a map with a region in the other at an IoU above 0.5."""
    from deepunetto_mm.ops import count_overlaps, match_regions

    drawn, found = int(objects.max(initial=0)), int(region_map.max(initial=0))
    overlaps = count_overlaps(objects.astype(np.int64), region_map.astype(np.int64), drawn, found)
    any_name = np.ones(len(overlaps.shared), bool)
    return len(match_regions(overlaps, any_name, np.zeros(found, np.int64)).gt)


def streaming_config(path: str, tile: int, margin: int) -> Config:
    """The config, for tiles without logits and any number of regions."""
    cfg = load_config(path)
    cfg.model.test_cfg = dict(
        mode='tile', tile_size=(tile, tile), margin=margin, size_divisor=16, keep_logits=False, crops_per_pass=256
    )
    cfg.model.region_proposer.max_regions = None
    return cfg


def measure_small(path: str, checkpoint: Optional[str], count: int, trusted: bool = False) -> dict[str, Any]:
    """Growth of the process over small pictures of up to 200 files, after the first tenth; all files are written."""
    from deepunetto_mm.apis import DeepUNettoInferencer
    from deepunetto_mm.datasets import RodConeShapes

    inferencer = DeepUNettoInferencer(path, checkpoint, show_progress=False, trust_checkpoint=trusted)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        scenes = RodConeShapes(num_scenes=200, seed=1, size=(SCENE, SCENE))
        for i in range(min(count, len(scenes))):
            height, width = rng.integers(64, SCENE + 1, 2)
            paths.append(Path(folder) / f'{i}.png')
            cv2.imwrite(str(paths[-1]), scenes[i]['img'][:height, :width])
        results = inferencer.stream((paths * (-(-count // len(paths))))[:count], out_dir=Path(folder) / 'out')
        sizes, regions, empty = [], 0, 0
        for i, result in enumerate(results):
            regions += len(result['regions'])
            empty += not result['regions']
            if i >= count // 10 and i % max(count // 100, 1) == 0:
                sizes.append(memory_of_process('VmRSS'))
    # A tenth of the samples at either end: a single one may include a short allocation.
    tenth = max(len(sizes) // 10, 1)
    begin, end = float(np.median(sizes[:tenth])), float(np.median(sizes[-tenth:]))
    growth = (end - begin) / begin
    return dict(
        what=f'{count} pictures of 64 to 128 pixels, {empty} without a region',
        found=str(regions),
        peak=f'{begin / MB:.1f} MB, grown by {100 * growth:.2f} %; {min(sizes) / MB:.1f} to {max(sizes) / MB:.1f} MB',
        bound=f'{100 * GROWTH:.0f} %',
        kept=growth < GROWTH,
    )


def measure_picture(
    path: str, checkpoint: Optional[str], size: tuple[int, int], tile: int, margin: int, trusted: bool = False
) -> dict[str, Any]:
    """Peak of the memory for one picture, from reading to writing, above that of the network."""
    from deepunetto_mm.apis import DeepUNettoInferencer

    cfg = streaming_config(path, tile, margin)
    inferencer = DeepUNettoInferencer(cfg, checkpoint, show_progress=False, trust_checkpoint=trusted)
    with tempfile.TemporaryDirectory() as folder:
        picture, objects = lay_scenes(*size)
        cv2.imwrite(f'{folder}/large.png', picture)
        del picture
        drawn = int(objects.max())
        before = forget_peak()
        (result,) = inferencer(f'{folder}/large.png', out_dir=f'{folder}/out')
        peak = memory_of_process('VmHWM') - before
        maps = {name: cv2.imread(result['files'][name], -1) for name in ('segmentation', 'composed', 'regions')}
        if wrong := [name for name, written in maps.items() if written is None or written.shape != tuple(size)]:
            raise RuntimeError(f'{wrong} were not written at {size}')
        matched = count_found(objects, np.asarray(maps['regions']))
    bound = memory_bound(size[0] * size[1], len(inferencer.taxonomy.groups), len(result['regions']))
    return dict(
        what=f'{size[1]}x{size[0]} pixels, {drawn} objects',
        found=f'{len(result["regions"])}, of {matched} of the objects',
        peak=f'{peak / MB:.0f} MB',
        bound=f'{bound / MB:.0f} MB',
        kept=peak < bound,
    )


def measure_plain(
    path: str, checkpoint: Optional[str], size: tuple[int, int], wanted: tuple[int, int], tile: int, classes: int
) -> dict[str, Any]:
    """Peak of the memory of mmseg's sliding window, only the label map; and scaled by pixels to the wanted size.

    The memory does not depend on the weights, so the checkpoint is not used.
    """
    from mmseg.structures import SegDataSample

    cfg = load_config(path)
    init_default_scope(cfg.default_scope)
    parts = {key: cfg.model[key] for key in ('data_preprocessor', 'backbone', 'decode_head')}
    parts['decode_head'].update(num_classes=classes, loss_decode=dict(type='CrossEntropyLoss'))
    slide = ConfigDict(mode='slide', crop_size=(tile, tile), stride=(tile * 2 // 3, tile * 2 // 3))
    model = MODELS.build(dict(type='EncoderDecoder', test_cfg=slide, **parts)).eval()
    picture = torch.from_numpy(lay_scenes(*size)[0].transpose(2, 0, 1).copy())
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size))
    before = forget_peak() - picture.nbytes
    with torch.no_grad():
        model.test_step(dict(inputs=[picture], data_samples=[sample]))
    peak = memory_of_process('VmHWM') - before
    scaled = peak * wanted[0] * wanted[1] / (size[0] * size[1])
    return dict(
        what=f'{size[1]}x{size[0]} pixels, mmseg, {classes} classes',
        found='',
        peak=f'{peak / MB:.0f} MB; by pixels {scaled / MB:.0f} MB for {wanted[1]}x{wanted[0]}',
        bound='',
        kept=True,
    )


def measure(args: argparse.Namespace) -> bool:
    """Measure every case in a separate process, and print the table; returns whether all bounds are kept."""
    from deepunetto_mm.guards import read_checkpoint, resolve_checkpoint

    checkpoint = None if args.checkpoint is None else resolve_checkpoint(args.checkpoint)
    side = SCENE * int(np.ceil(np.sqrt(args.regions / 2.6)))  # a little less than what a scene has on average
    tiling = (args.tile, args.margin, args.trust_checkpoint)
    if checkpoint is not None:
        read_checkpoint(checkpoint, args.trust_checkpoint)  # raise an error now, and not in another process
    cases: dict[str, tuple[Callable[..., dict[str, Any]], tuple]] = dict(
        small=(measure_small, (args.pictures, args.trust_checkpoint)),
        regions=(measure_picture, ((side, side), *tiling)),
        large=(measure_picture, (tuple(args.size), *tiling)),
    )
    for classes in args.plain_classes:
        options = tuple(args.plain_size), tuple(args.size), args.tile, classes
        cases[f'plain, {classes} classes'] = (measure_plain, options)
    cases = {case: what for case, what in cases.items() if case.split(',')[0] in args.cases}
    table = PrettyTable(['', 'regions found', 'memory', 'bound', 's'])
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'l'
    kept = True
    for case, result, seconds in _each_in_a_process(args.config, checkpoint, cases):
        kept = kept and result['kept']
        table.add_row([result['what'], result['found'], result['peak'], result['bound'], f'{seconds:.0f}'])
        print(f'{case}: {result["what"]}: {result["peak"]}{"" if result["kept"] else ", OVER THE BOUND"}', flush=True)
    print(table.get_string())
    return kept


def _each_in_a_process(
    config: str, checkpoint: Optional[str], cases: dict[str, tuple[Callable[..., dict], tuple]]
) -> Iterator[tuple[str, dict[str, Any], float]]:
    for case, (function, options) in cases.items():
        begin = time.monotonic()
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            result = pool.submit(function, config, checkpoint, *options).result()
        yield case, result, time.monotonic() - begin


def main() -> None:
    args = parse_args()
    with one_line_errors(args.traceback):
        raise SystemExit(not measure(args))


if __name__ == '__main__':
    main()
