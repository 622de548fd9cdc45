"""How a picture goes through the network: whole, by a sliding window, or tile by tile.

A pass gets ``paint``, which makes maps of a batch that the network takes as it is, and gives the maps of pictures of
any size. Whatever the network paints is treated alike: windows and tiles are weighted sums.
"""

import itertools
from typing import Any, Callable, Iterator, NamedTuple, Optional, Protocol, Sequence

import torch
from torch import Tensor

from deepunetto_mm.ops import TileSpan, centre_crop, mirrored_window, tile_spans

MODES = ('whole', 'slide', 'tile')
_OF_TILE = {'tile_size', 'margin', 'size_divisor', 'tiles_per_batch', 'blending'}
PASS_OPTIONS = {'mode', 'crop_size', 'stride'} | _OF_TILE


class Painted(NamedTuple):
    """What the network makes of a batch: feature maps of backbone and neck, and maps (N, C, H, W) by name."""

    feats: Optional[Sequence[Tensor]]
    maps: dict[str, Tensor]


# Inputs (N, 3, H, W), and meta information whose 'img_shape' is the size that the maps are wanted in.
Paint = Callable[[Tensor, list[dict]], Painted]
Prepare = Callable[[list[Tensor]], Tensor]  # windows (3, h, w) of a picture to a batch (N, 3, h, w) for the network


class Pass(Protocol):
    """One way through the network.

    ``whole`` says whether the network sees a picture as it is and at once, so that feature maps of the picture exist.
    """

    whole: bool

    def __call__(self, paint: Paint, inputs: Tensor, metas: list[dict]) -> Painted:
        """Maps at the size of the inputs; feature maps if the pass is ``whole``."""


class WholePass:
    """The whole picture at once, as in mmseg."""

    whole = True

    def __call__(self, paint: Paint, inputs: Tensor, metas: list[dict]) -> Painted:
        """Maps of the inputs."""
        return paint(inputs, metas)


class SlidePass:
    """mmseg's sliding window: windows of one size, and the plain mean of their maps where they overlap.

    Args:
        crop_size: Height and width of the window.
        stride: Its steps downwards and to the right.
    """

    whole = False

    def __init__(self, crop_size: Sequence[int], stride: Sequence[int]) -> None:
        self.crop_size = crop_size
        self.stride = stride

    def __call__(self, paint: Paint, inputs: Tensor, metas: list[dict]) -> Painted:
        """Maps of the inputs."""
        size = inputs.shape[2:]
        sums: dict[str, Tensor] = {}
        counts = inputs.new_zeros(1, 1, *size)
        for rows, columns in itertools.product(*map(self._spans, size, self.crop_size, self.stride)):
            window = inputs[:, :, rows, columns]
            own = [{**meta, 'img_shape': window.shape[2:]} for meta in metas]
            for name, part in paint(window, own).maps.items():
                if name not in sums:
                    sums[name] = inputs.new_zeros(len(inputs), part.shape[1], *size)
                sums[name][:, :, rows, columns] += part
            counts[:, :, rows, columns] += 1
        return Painted(None, {name: total / counts for name, total in sums.items()})

    @staticmethod
    def _spans(size: int, window: int, step: int) -> list[slice]:
        ends = [min(i * step + window, size) for i in range(max(size - window + step - 1, 0) // step + 1)]
        return [slice(max(end - window, 0), end) for end in ends]


class TilePass:
    """The overlap-tile strategy of Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation" (MICCAI 2015, figure 2).

    ::

        picture ─▶ window, mirrored at the border ─▶ network ─▶ maps, less the margin ─▶ into the maps of the picture
                   tile_size + 2 margin                         tile_size

    The result is that of the whole mirrored picture at once, up to rounding, for a network that commutes with shifts by
    ``size_divisor`` and looks no further than ``margin``. Normalisation or attention over a whole map (GroupNorm,
    squeeze and excitation) and ``align_corners=True`` do not commute: such networks are tiled approximately.

    Args:
        tile_size: Height and width that a tile contributes: multiples of ``size_divisor``, for an unpadded U-Net output
            sizes (388 = 24 x 16 + 4). None for one tile of the smallest valid size that covers the picture, and all
            pictures of a batch at once.
        margin: Pixels of context on each side, which are dropped from the prediction. A padded network needs it: a
            multiple of ``size_divisor``, and for exact seams at least the radius of the receptive field.
        size_divisor: The total stride of the network, of which tiles begin at multiples. A padded network needs it.
        tiles_per_batch: This number of tiles, of one picture or of several, pass the network at once.
        blending: None; or ``'gaussian'`` overlaps tiles by half and averages them with Gaussian weights
            (:func:`deepunetto_mm.ops.tile_spans`), for margins that are too small, such as 0.
        unpadded: The network predicts the centre of its input alone, without the margin.
        valid_size: Smallest valid size of a tile that is at least as large as the one given.
    """

    whole = False

    def __init__(
        self,
        tile_size: Optional[Sequence[int]],
        margin: int,
        size_divisor: int,
        tiles_per_batch: int = 1,
        blending: Optional[str] = None,
        unpadded: bool = False,
        valid_size: Callable[[int], int] = int,
    ) -> None:
        self.tile_size = tile_size
        self.margin = margin
        self.size_divisor = size_divisor
        self.tiles_per_batch = tiles_per_batch
        self.blending = blending
        self.unpadded = unpadded
        self.valid_size = valid_size

    def __call__(self, paint: Paint, inputs: Tensor, metas: list[dict]) -> Painted:
        """Maps of the inputs, which may be of any size, even smaller than the margin."""
        sums: dict[str, Tensor] = {}
        for i, row, column, maps in self.tiles(paint, list(inputs), metas, torch.stack):
            for name, tile in maps.items():
                if name not in sums:
                    sums[name] = inputs.new_zeros(len(inputs), len(tile), *inputs.shape[2:])
                shares = torch.outer(row.shares.to(tile), column.shares.to(tile))
                sums[name][i, :, row.low : row.high, column.low : column.high] += shares * tile
        return Painted(None, sums)

    def tiles(
        self, paint: Paint, pictures: Sequence[Tensor], metas: list[dict], prepare: Prepare
    ) -> Iterator[tuple[int, TileSpan, TileSpan, dict[str, Tensor]]]:
        """Maps of pictures of one size, a tile at a time.

        Args:
            paint: Makes maps of windows.
            pictures: N pictures (3, H, W).
            metas: Passed on with each tile, with ``img_shape`` replaced by the size that is wanted.
            prepare: Makes windows of the pictures the network's input.

        Yields:
            Which picture; rows and columns; the maps (C, h, w) of the pixels that this tile contributes.
        """
        size = pictures[0].shape[1:]
        tile_size = [self.valid_size(n) for n in size] if self.tile_size is None else self.tile_size
        rows, columns = (tile_spans(n, tile, self.size_divisor, self.blending) for n, tile in zip(size, tile_size))
        height, width = (n + 2 * self.margin for n in tile_size)
        # An unpadded network is asked for what it has; any other for the window, of which the middle is kept.
        asked = torch.Size(tile_size if self.unpadded else (height, width))
        tiles = itertools.product(range(len(pictures)), rows, columns)
        at_once = len(pictures) if self.tile_size is None else self.tiles_per_batch
        while batch := list(itertools.islice(tiles, at_once)):
            windows = [
                mirrored_window(pictures[i], row.start - self.margin, column.start - self.margin, height, width)
                for i, row, column in batch
            ]
            own = [{**metas[i], 'img_shape': asked} for i, _, _ in batch]
            maps = {name: centre_crop(x, tile_size) for name, x in paint(prepare(windows), own).maps.items()}
            for position, (i, row, column) in enumerate(batch):
                down, right = (slice(span.low - span.start, span.high - span.start) for span in (row, column))
                yield i, row, column, {name: x[position, :, down, right] for name, x in maps.items()}


def with_mode(test_cfg: Optional[dict[str, Any]]) -> dict[str, Any]:
    """``test_cfg`` with its mode, by default ``'whole'``.

    Raises:
        ValueError: If it has options of another mode and does not name that. Beside a mode they may be those of a base
            config, and are not read.
    """
    given = dict(test_cfg or {})
    if 'mode' not in given and (unread := sorted(PASS_OPTIONS & set(given))):
        raise ValueError(f"test_cfg has {unread} and no mode: set mode='slide' or mode='tile', or leave them out")
    return {'mode': 'whole', **given}


def build_pass(test_cfg: dict[str, Any], decode_head: Any) -> Pass:
    """The pass that ``test_cfg`` asks for.

    Args:
        test_cfg: The options of ``mode``, as :class:`DeepUNetto` documents them.
        decode_head: An unpadded one says so: ``output_margin``, pixels that it loses on each side, ``total_stride``,
            and ``valid_size(n)``, the smallest size of at least n that it can predict. Others have none of these.

    Raises:
        ValueError: If an option is unknown, missing, or does not fit the others or the network.
    """
    mode = test_cfg['mode']
    if mode not in MODES:
        raise ValueError(f'test_cfg.mode must be one of {MODES}, got {mode!r}')
    own: dict[str, Any] = {}
    if hasattr(decode_head, 'output_margin'):
        own = dict(margin=decode_head.output_margin, size_divisor=decode_head.total_stride)
    unpadded: dict[str, Any] = dict(unpadded=True, valid_size=decode_head.valid_size) if own else {}
    if mode == 'slide':
        if own:
            raise ValueError("test_cfg.mode='slide' leaves out the border with an unpadded U-Net: use 'tile'")
        _check_windows(test_cfg)
        return SlidePass(test_cfg['crop_size'], test_cfg['stride'])
    if mode == 'whole':
        return TilePass(None, **own, **unpadded) if own else WholePass()
    tiling = {'tiles_per_batch': 1, 'blending': None, **own, **{k: v for k, v in test_cfg.items() if k in _OF_TILE}}
    _check_tiling(tiling, own, unpadded.get('valid_size'))
    return TilePass(**tiling, **unpadded)


def _check_windows(test_cfg: dict[str, Any]) -> None:
    """Raise ValueError unless the windows of mode 'slide' reach every pixel."""
    for key in ('crop_size', 'stride'):
        _check_size(key, test_cfg.get(key))
    crop_size, stride = test_cfg['crop_size'], test_cfg['stride']
    if any(step > window for window, step in zip(crop_size, stride)):
        raise ValueError(
            f'test_cfg.stride {tuple(stride)} is larger than test_cfg.crop_size {tuple(crop_size)}: the pixels between '
            'windows would be left out'
        )


def _check_size(key: str, size: Any) -> None:
    if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f'test_cfg.{key} must be a height and a width in pixels, got {size!r}')


def _check_tiling(tiling: dict[str, Any], own: dict[str, Any], valid_size: Optional[Callable[[int], int]]) -> None:
    """Raise ValueError unless the options of mode 'tile' fit each other and what the network has of its own."""
    if missing := sorted(_OF_TILE - set(tiling)):
        raise ValueError(f"test_cfg.mode='tile' needs {missing} too")
    for key, least in dict(margin=0, size_divisor=1, tiles_per_batch=1).items():
        if not isinstance(tiling[key], int) or tiling[key] < least:
            raise ValueError(f'test_cfg.{key} must be a whole number of at least {least}, got {tiling[key]!r}')
    for key, value in own.items():
        if tiling[key] != value:
            raise ValueError(f'test_cfg.{key} is {tiling[key]}, but of this unpadded U-Net it is {value}')
    size, margin, divisor = tiling['tile_size'], tiling['margin'], tiling['size_divisor']
    _check_size('tile_size', size)
    if valid_size is not None:
        if wrong := [n for n in size if valid_size(n) != n]:
            raise ValueError(
                f'test_cfg.tile_size has {wrong}, which this unpadded U-Net cannot predict; the next larger sizes are '
                f'{[valid_size(n) for n in wrong]}'
            )
    elif wrong := [n for n in (*size, margin) if n % divisor]:
        raise ValueError(
            f'test_cfg.tile_size and test_cfg.margin must be multiples of size_divisor={divisor}, or the stages of '
            f'the network fall on other pixels in each tile; {wrong} are not'
        )
    for n in size:  # the layout's own errors, before the first picture
        tile_spans(1, n, divisor, tiling['blending'])


def reject_unknown(name: str, cfg: dict, known: set[str]) -> None:
    """Raise ValueError if an option is misspelt: one that the config ``name`` has and that is not known."""
    if unknown := set(cfg) - known:
        raise ValueError(f'{name} has unknown keys {sorted(unknown)}; it takes {sorted(known)}')
