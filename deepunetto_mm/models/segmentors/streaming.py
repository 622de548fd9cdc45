"""Pictures that are too large for maps of logits: reduced tile by tile, and normalised window by window."""

import functools
from typing import Any, Iterable, Mapping, Optional, Sequence

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.fine.composing import write_predictions
from deepunetto_mm.models.fine.fine_branch import Prepare
from deepunetto_mm.models.fine.sampling import ground_truth_regions
from deepunetto_mm.ops import TileSpan
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps

Tiles = Iterable[tuple[int, TileSpan, TileSpan, dict[str, Tensor]]]


def predict_streamed(
    model: Any, pictures: Sequence[Tensor], data_samples: list[SegDataSample], prepare: Prepare
) -> list[SegDataSample]:
    """Predict picture by picture, and each tile by tile, without logits of more than the tiles of a batch.

    Args:
        model: The :class:`DeepUNetto`, whose pass is a :class:`TilePass`.
        pictures: (3, H, W) each, as the pipeline made them or normalised.
        data_samples: Their meta information.
        prepare: Makes windows (3, h, w) of the pictures a batch for the network.

    Returns:
        The data samples with label maps in int16 and region ids in int32.

    Raises:
        ValueError: If a picture was resized, padded or flipped.
    """
    require_own_size(pictures, data_samples)
    threshold = getattr(model.decode_head, 'threshold', None)
    for picture, sample in zip(pictures, data_samples):
        tiles = model.passing.tiles(model.paint, [picture], [sample.metainfo], prepare)
        if not model.with_regions:
            stream_labels(picture, sample, tiles, threshold)
            continue
        maps = stream_maps(picture, tiles, model.kinds, model.taxonomy, threshold)
        sample.set_data(dict(pred_sem_seg=PixelData(data=maps.labels)))
        (regions,), (region_map,) = model.region_proposer(maps)
        name = functools.partial(model.fine_branch.predict_windows, picture, prepare, maps)
        write_predictions(sample, regions, region_map, name(regions, region_map), maps, join=model.join)
        if model.oracle:
            annotated = ground_truth_regions(sample, len(model.taxonomy.groups))
            sample.gt_regions.oracle_scores = name(annotated, sample.gt_region_map.data[0])
    return data_samples


def stream_labels(picture: Tensor, sample: SegDataSample, tiles: Tiles, threshold: Optional[float]) -> None:
    """Write ``pred_sem_seg``, int16, of a picture (3, H, W), whose tiles are maps with ``'logits'``."""
    labels = torch.empty(picture.shape[1:], dtype=torch.int16, device=picture.device)
    for _, row, column, maps in tiles:
        part = Maps(dict(logits=maps['logits'][None]), dict(logits='logits'), threshold=threshold)
        labels[row.low : row.high, column.low : column.high] = part.labels[0]
    sample.set_data(dict(pred_sem_seg=PixelData(data=labels[None])))


def stream_maps(
    picture: Tensor, tiles: Tiles, kinds: Mapping[str, str], taxonomy: Taxonomy, threshold: Optional[float]
) -> Maps:
    """Maps of a picture without its logits.

    Of a pixel are kept: its label and its composed label outside of any region, in int16, the probability of each
    group, by which regions are scored, and the maps of dense heads; ``4 + 4 G`` bytes without those.

    Args:
        picture: (3, H, W).
        tiles: Rows, columns and maps (C, h, w) of its tiles.
        kinds: The kind of each map.
        taxonomy, threshold: As of :class:`Maps`.
    """
    size, device = picture.shape[1:], picture.device
    labels, outside = torch.empty(2, 1, *size, dtype=torch.int16, device=device)
    group_probs = torch.empty(1, len(taxonomy.groups), *size, device=device)
    dense: dict[str, Tensor] = {}
    for _, row, column, tensors in tiles:
        place = (slice(None), slice(row.low, row.high), slice(column.low, column.high))
        part = Maps({name: x[None] for name, x in tensors.items()}, kinds, taxonomy, threshold)
        labels[place], outside[place] = part.labels.to(labels.dtype), part.outside.to(labels.dtype)
        group_probs[(slice(None), *place)] = part.group_probs
        for name in part:
            if name != 'logits':
                if name not in dense:
                    dense[name] = torch.empty(1, len(tensors[name]), *size, dtype=tensors[name].dtype, device=device)
                dense[name][(slice(None), *place)] = part[name]
    return Maps.known(taxonomy, dense, kinds, labels=labels, group_probs=group_probs, outside=outside)


def require_own_size(pictures: Sequence[Tensor], data_samples: Sequence[SegDataSample]) -> None:
    """Raise ValueError if a picture was resized, padded or flipped: its windows could not be moved back."""
    for picture, sample in zip(pictures, data_samples):
        size, own = tuple(picture.shape[1:]), tuple(sample.get('ori_shape', picture.shape[1:]))[:2]
        if size != own or sample.get('flip'):
            raise ValueError(
                f'{sample.get("img_path", "a picture")}: test_cfg.keep_logits=False needs pictures at their own '
                f'size, unflipped; the pipeline made {size[1]}x{size[0]} of {own[1]}x{own[0]}, '
                f'flip={sample.get("flip", False)}: leave Resize, Pad and RandomFlip out of it'
            )


def prepare_windows(data_preprocessor: nn.Module, windows: list[Tensor]) -> Tensor:
    """Normalise windows (3, h, w) of pictures into a batch (N, 3, h, w).

    Raises:
        ValueError: If the data preprocessor changes their size.
    """
    data: Any = data_preprocessor(dict(inputs=windows, data_samples=[SegDataSample() for _ in windows]))
    if data['inputs'].shape[2:] != windows[0].shape[1:]:
        raise ValueError(
            'test_cfg.keep_logits=False needs windows at their own size: leave data_preprocessor.test_cfg out, '
            f'which made {tuple(data["inputs"].shape[2:])} of {tuple(windows[0].shape[1:])}'
        )
    return data['inputs']
