"""A segmentor that predicts pictures of any size tile by tile."""

import itertools
from typing import Any, Iterator, Optional, Sequence, Union

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.models.segmentors.streaming import Prepare
from deepunetto_mm.ops import TileSpan, centre_crop, mirrored_window, tile_spans
from deepunetto_mm.registry import MODELS
from deepunetto_mm.unet2015.sizes import unet2015_input_size, unet2015_is_valid_size, unet2015_margin

MODES = ('whole', 'slide', 'tile')
_OF_SLIDE = {'crop_size', 'stride'}
_OF_TILE = {'tile_size', 'margin', 'size_divisor', 'tiles_per_batch', 'blending'}


@MODELS.register_module()
class TiledEncoderDecoder(EncoderDecoder):
    """mmseg's ``EncoderDecoder`` with the overlap-tile strategy of Ronneberger, Fischer and Brox, "U-Net: Convolutional
    Networks for Biomedical Image Segmentation" (MICCAI 2015, figure 2), as a third mode of prediction.

    ::

        picture ─▶ window, mirrored at the border ─▶ network ─▶ logits, less the margin ─▶ into the map of the picture
                   tile_size + 2 margin                         tile_size

    The result is that of the whole mirrored picture at once, up to rounding, for a network that commutes with shifts by
    ``size_divisor`` and looks no further than ``margin``. Normalisation or attention over a whole map (GroupNorm,
    squeeze and excitation) and ``align_corners=True`` do not commute: such networks are tiled approximately.

    A network with :class:`UNet2015Head` predicts the centre of its input alone. Margin and divisor follow from its
    depth (92 and 16 for the paper's), and with mode ``'whole'`` too its input is mirrored: as one tile of the smallest
    valid size that covers the picture.

    Memory is bounded by the tiles of one batch, apart from the logits of the whole batch of pictures, (N, C, H, W),
    which mmseg's postprocessing takes. With ``keep_logits=False`` they are not made: each tile's labels are taken from
    its logits at once, and each window is normalised by itself, so that what remains is the picture as it was loaded
    and its label map.

    Args:
        backbone, decode_head, neck, auxiliary_head, train_cfg, data_preprocessor, init_cfg: As in mmseg.
        test_cfg: ``mode``: ``'whole'`` (default), ``'slide'`` with ``crop_size`` and ``stride``, both as in mmseg, or
            ``'tile'`` with

            - ``tile_size``: height and width that a tile contributes; needed. A multiple of ``size_divisor``, for an
              unpadded U-Net an output size (388 = 24 x 16 + 4).
            - ``margin``: pixels of context on each side, which are dropped from the prediction. A padded network needs
              it: a multiple of ``size_divisor``, and for exact seams at least the radius of the receptive field.
            - ``size_divisor``: the total stride of the network, of which tiles begin at multiples. A padded network
              needs it.
            - ``tiles_per_batch`` (1): so many tiles, be they of one picture or several, pass the network at once.
            - ``blending`` (None): ``'gaussian'`` overlaps tiles by half and averages their logits with Gaussian
              weights (:func:`deepunetto_mm.ops.tile_spans`), for margins that are too small, such as 0.
            - ``keep_logits`` (True): False for very large pictures: the data samples get no ``seg_logits``, and label
              maps of int16. The same labels come out. Not with ``blending``, and the pipeline and the preprocessor must
              leave pictures at their own size.

    Raises:
        ValueError: If an option of ``test_cfg`` is unknown, missing, or does not fit the others or the network.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: Optional[dict] = None,
        auxiliary_head: Optional[Union[dict, list[dict]]] = None,
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        test_cfg = {'mode': 'whole', **(test_cfg or {})}
        reject_unknown('test_cfg', test_cfg, {'mode', 'keep_logits'} | _OF_SLIDE | _OF_TILE)
        if test_cfg['mode'] not in MODES:
            raise ValueError(f'test_cfg.mode must be one of {MODES}, got {test_cfg["mode"]!r}')
        super().__init__(
            backbone=backbone,
            decode_head=decode_head,
            neck=neck,
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=ConfigDict(test_cfg),  # mmseg reads it by attribute
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        from deepunetto_mm.unet2015.unet2015_head import UNet2015Head  # which imports this room

        self.unpadded = isinstance(self.decode_head, UNet2015Head)
        own = {}
        if self.unpadded:
            if test_cfg['mode'] == 'slide':
                raise ValueError("test_cfg.mode='slide' leaves out the border with an unpadded U-Net: take 'tile'")
            depth = len(self.decode_head.in_channels)
            own = dict(margin=unet2015_margin(depth) // 2, size_divisor=2 ** (depth - 1))
        tiling = {'tiles_per_batch': 1, 'blending': None, **own}
        if test_cfg['mode'] == 'tile':
            tiling.update({key: value for key, value in test_cfg.items() if key in _OF_TILE})
            self._check_tiling(tiling, own)
        self.tiling = tiling
        self.keep_logits = test_cfg.get('keep_logits', True)
        if not self.keep_logits and (test_cfg['mode'] != 'tile' or tiling['blending'] is not None):
            raise ValueError(
                "test_cfg.keep_logits=False needs test_cfg.mode='tile' without blending, where each pixel is one "
                f"tile's; got mode={test_cfg['mode']!r}, blending={tiling['blending']!r}"
            )

    def _check_tiling(self, tiling: dict[str, Any], own: dict[str, int]) -> None:
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
        if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
            raise ValueError(f'test_cfg.tile_size must be a height and a width in pixels, got {size!r}')
        if self.unpadded:
            depth = len(self.decode_head.in_channels)
            if wrong := [n for n in size if not unet2015_is_valid_size(n + 2 * margin, depth)]:
                nearest = [unet2015_input_size(n, depth) - 2 * margin for n in wrong]
                raise ValueError(
                    f'test_cfg.tile_size has {wrong}, which an unpadded U-Net of depth {depth} cannot predict; the '
                    f'next larger sizes are {nearest}'
                )
        elif wrong := [n for n in (*size, margin) if n % divisor]:
            raise ValueError(
                f'test_cfg.tile_size and test_cfg.margin must be multiples of size_divisor={divisor}, or the stages of '
                f'the network fall on other pixels in each tile; {wrong} are not'
            )
        for n in size:  # the layout's own errors, before the first picture
            tile_spans(1, n, divisor, tiling['blending'])

    @property
    def passes_whole(self) -> bool:
        """Whether the network sees a picture as it is and at once, so that feature maps of the picture exist."""
        return self.test_cfg.mode == 'whole' and not self.unpadded

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Class logits of a batch, by the mode of ``test_cfg``.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            batch_img_metas: As in mmseg. Tiles do not depend on the sizes that they name.

        Returns:
            (N, C, H, W).
        """
        if self.test_cfg.mode == 'tile':
            tiling = self.tiling
        elif self.test_cfg.mode == 'whole' and self.unpadded:
            depth, lost = len(self.decode_head.in_channels), 2 * self.tiling['margin']
            size = [unet2015_input_size(n, depth) - lost for n in inputs.shape[2:]]
            tiling = {**self.tiling, 'tile_size': size, 'tiles_per_batch': len(inputs)}
        else:
            return super().inference(inputs, batch_img_metas)
        return self.tile_inference(inputs, batch_img_metas, **tiling)

    def tile_inference(
        self,
        inputs: Tensor,
        batch_img_metas: list[dict],
        tile_size: Sequence[int],
        margin: int,
        size_divisor: int,
        tiles_per_batch: int = 1,
        blending: Optional[str] = None,
    ) -> Tensor:
        """Class logits of a batch, tile by tile.

        Args:
            inputs: (N, 3, H, W) of any size, even smaller than the margin.
            batch_img_metas: Handed on with each tile, with ``img_shape`` replaced by the size asked for.
            tile_size, margin, size_divisor, tiles_per_batch, blending: As in ``test_cfg``.

        Returns:
            (N, C, H, W) of the type of the inputs.
        """
        seg_logits = inputs.new_zeros(len(inputs), self.out_channels, *inputs.shape[2:])
        tiles = self.predict_tiles(
            list(inputs),
            batch_img_metas,
            torch.stack,
            tile_size,
            margin,
            size_divisor,
            tiles_per_batch,
            blending,
        )
        for i, row, column, logits in tiles:
            shares = torch.outer(row.shares.to(seg_logits), column.shares.to(seg_logits))
            seg_logits[i, :, row.low : row.high, column.low : column.high] += shares * logits
        return seg_logits

    def predict_tiles(
        self,
        inputs: Sequence[Tensor],
        batch_img_metas: list[dict],
        prepare: Prepare,
        tile_size: Sequence[int],
        margin: int,
        size_divisor: int,
        tiles_per_batch: int = 1,
        blending: Optional[str] = None,
    ) -> Iterator[tuple[int, TileSpan, TileSpan, Tensor]]:
        """Class logits of pictures of one size, a tile at a time.

        Args:
            inputs: N pictures (3, H, W).
            batch_img_metas, tile_size, margin, size_divisor, tiles_per_batch, blending: As in :meth:`tile_inference`.
            prepare: Makes windows of the pictures the network's input.

        Yields:
            Which picture; rows and columns; the logits of the pixels that the tile answers for, (C, h, w).
        """
        rows, columns = (tile_spans(n, tile, size_divisor, blending) for n, tile in zip(inputs[0].shape[1:], tile_size))
        height, width = (n + 2 * margin for n in tile_size)
        # An unpadded head is asked for what it has; any other for the window, of which the middle is kept.
        asked = torch.Size(tile_size if self.unpadded else (height, width))
        tiles = itertools.product(range(len(inputs)), rows, columns)
        while batch := list(itertools.islice(tiles, tiles_per_batch)):
            windows = [
                mirrored_window(inputs[i], row.start - margin, column.start - margin, height, width)
                for i, row, column in batch
            ]
            metas = [{**batch_img_metas[i], 'img_shape': asked} for i, _, _ in batch]
            logits = centre_crop(self.encode_decode(prepare(windows), metas), tile_size)
            for (i, row, column), tile in zip(batch, logits):
                kept = (slice(span.low - span.start, span.high - span.start) for span in (row, column))
                yield i, row, column, tile[(slice(None), *kept)]

    # ------------------------------------------------------------------------------------------ without a map of logits
    def predict(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> list[SegDataSample]:
        """As mmseg's; with ``test_cfg.keep_logits=False`` without ``seg_logits``."""
        if self.keep_logits:
            return super().predict(inputs, data_samples)
        return self.predict_streamed(list(inputs), data_samples or [SegDataSample() for _ in inputs], torch.stack)

    def test_step(self, data: Any) -> list[SegDataSample]:
        """As mmengine's; with ``test_cfg.keep_logits=False`` windows are normalised one by one, never the picture."""
        if self.keep_logits:
            return super().test_step(data)
        data = self.data_preprocessor.cast_data(data)
        return self.predict_streamed(data['inputs'], data['data_samples'], self._prepare)

    def val_step(self, data: Any) -> list[SegDataSample]:
        """As :meth:`test_step`."""
        return self.test_step(data)

    def _prepare(self, windows: list[Tensor]) -> Tensor:
        inputs = self.data_preprocessor(dict(inputs=windows, data_samples=[SegDataSample() for _ in windows]))['inputs']
        if inputs.shape[2:] != windows[0].shape[1:]:
            raise ValueError(
                'test_cfg.keep_logits=False needs windows at their own size: leave data_preprocessor.test_cfg out, '
                f'which made {tuple(inputs.shape[2:])} of {tuple(windows[0].shape[1:])}'
            )
        return inputs

    def predict_streamed(
        self, pictures: Sequence[Tensor], data_samples: list[SegDataSample], prepare: Prepare
    ) -> list[SegDataSample]:
        """Predict picture by picture, and each tile by tile, without logits of more than the tiles of a batch.

        Args:
            pictures: (3, H, W) each, as the pipeline made them or normalised.
            data_samples: Their meta information.
            prepare: Makes windows of the pictures the network's input.

        Returns:
            The data samples with what :meth:`stream` writes.

        Raises:
            ValueError: If a picture was resized, padded or flipped.
        """
        for picture, sample in zip(pictures, data_samples):
            size, own = tuple(picture.shape[1:]), tuple(sample.get('ori_shape', picture.shape[1:]))[:2]
            if size != own or sample.get('flip'):
                raise ValueError(
                    f'{sample.get("img_path", "a picture")}: test_cfg.keep_logits=False needs pictures at their own '
                    f'size, unflipped; the pipeline made {size[1]}x{size[0]} of {own[1]}x{own[0]}, '
                    f'flip={sample.get("flip", False)}: leave Resize, Pad and RandomFlip out of it'
                )
        for picture, sample in zip(pictures, data_samples):
            self.stream(picture, sample, prepare)
        return data_samples

    def stream(self, picture: Tensor, sample: SegDataSample, prepare: Prepare) -> None:
        """Write ``pred_sem_seg``, int16, of a picture (3, H, W)."""
        labels = torch.empty(picture.shape[1:], dtype=torch.int16, device=picture.device)
        for _, row, column, logits in self.predict_tiles([picture], [sample.metainfo], prepare, **self.tiling):
            labels[row.low : row.high, column.low : column.high] = self.classify(logits[None])[0]
        sample.set_data(dict(pred_sem_seg=PixelData(data=labels[None])))

    def classify(self, seg_logits: Tensor) -> Tensor:
        """Label map (N, H, W) int64 of (N, C, H, W) logits."""
        if self.out_channels == 1:
            return (seg_logits[:, 0].sigmoid() > self.decode_head.threshold).long()
        return seg_logits.argmax(1)

    def resize_logits(self, seg_logits: Tensor, shape: Sequence[int]) -> Tensor:
        """Logits of a whole input, (N, C, h, w), at its size, (N, C, H, W).

        Raises:
            ValueError: If the network predicts the centre of its input alone, which would be stretched over all of it.
        """
        if self.unpadded:
            raise ValueError(
                'the logits of an unpadded U-Net cover the centre of its input, and the fine branch needs them to the '
                'border: train the segmentation without the fine parts, or take a padded decode head'
            )
        return resize(seg_logits, size=tuple(shape), mode='bilinear', align_corners=self.align_corners)


def reject_unknown(name: str, cfg: dict, known: set[str]) -> None:
    """Raise ValueError if an option is misspelt: one that the config ``name`` has and that is not known."""
    if unknown := set(cfg) - known:
        raise ValueError(f'{name} has unknown keys {sorted(unknown)}; it takes {sorted(known)}')
