"""The graphs that a network is exported as: maps of pictures, names of regions, and both in one."""

from typing import Any, Optional, Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from deepunetto_mm.models.fine.segmentation_names import SegmentationNames
from deepunetto_mm.models.regions import BorderWatershed, CentreOffsetProposer
from deepunetto_mm.structures.maps import Maps
from deepunetto_mm.utils.region_maps import PADDING_ID, least_areas


class Preprocessing(nn.Module):
    """What the test pipeline and mmseg's data preprocessor make of a picture, as layers.

    Args:
        preprocessor: A ``SegDataPreProcessor`` without ``test_cfg``.
        percentile: Of a :class:`ChromaticAdaptation` before it; None without one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessor: Any, percentile: Optional[float] = None) -> None:
        super().__init__()
        self.percentile = percentile
        # It is given BGR, as OpenCV reads it, and the graph RGB.
        self.flips = not preprocessor._channel_conversion
        self.normalises = preprocessor._enable_normalize
        if self.normalises:
            self.register_buffer('mean', preprocessor.mean)
            self.register_buffer('std', preprocessor.std)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 RGB to (N, 3, H, W) float32, as the network takes it."""
        planes = picture.permute(0, 3, 1, 2)
        x = planes.float() if self.percentile is None else adapted(planes, self.percentile)
        if self.flips:
            x = x.flip(1)
        return (x - self.mean) / self.std if self.normalises else x


def adapted(planes: Tensor, percentile: float) -> Tensor:
    """What :class:`ChromaticAdaptation` makes of pictures (N, 3, H, W) uint8, as floats."""
    values = planes.flatten(2).long()
    counts = values.new_zeros(*values.shape[:2], 256).scatter_add(2, values, torch.ones_like(values)).cumsum(2)
    white = (counts.double() < percentile / 100 * counts[..., -1:].double()).sum(2)[..., None, None]
    x = planes.float()
    return torch.where(white == 0, x, (x * 255 / white.clamp(min=1)).round().clamp(max=255))


class SegmentGraph(nn.Module):
    """Pictures to maps.

    ::

        picture (N, H, W, 3) uint8 RGB ─▶ labels (N, H, W) int32
                 with regions also        outside (N, H, W) int32, group_probs (N, G, H, W)
                 and what they need:      *.heat (N, 1, H, W), *.vectors (N, 2, H, W), borders (N, 1, H, W)
                 and what names need:     feats.i (N, C, h, w), names (N, K, H, W)

    ``outside`` has the composed labels that hold outside of any region. ``names`` are probabilities of the fine classes
    (as segmentation classes), or the logits of a dense head. A picture that was resized comes with ``size`` (2,) int64,
    height and width before: all maps have this size but the ``feats.i``, and ``input_probs``, the ``group_probs`` that
    crops read.

    Args:
        model: A :class:`DeepUNetto` for whole pictures.
        percentile: As of :class:`Preprocessing`.
        resizes: Whether pictures were resized.
    """

    def __init__(self, model: Any, percentile: Optional[float] = None, resizes: bool = False) -> None:
        super().__init__()
        self.model = model
        self.preprocessing = Preprocessing(model.data_preprocessor, percentile)
        self.in_index: Sequence[int] = model.crop_neck.in_index if model.with_fine else ()
        self.inputs = ['picture', 'size'][: 1 + resizes]
        self.outputs = ['labels']
        self.source = ''
        if not model.with_regions:
            return
        self.outputs += ['outside', 'group_probs', *(f'feats.{i}' for i in self.in_index)]
        if isinstance(model.region_proposer, CentreOffsetProposer):
            self.outputs += [f'{model.region_proposer.head}.{key}' for key in ('heat', 'vectors')]
        elif isinstance(model.region_proposer, BorderWatershed):
            self.outputs.append(model.region_proposer.borders)
        if resizes and model.with_fine and model.fine_branch.needs_group_probs:
            self.outputs.append('input_probs')
        branch = model.fine_branch
        names = branch if isinstance(branch, SegmentationNames) else branch.pixel_names
        if names is not None:
            self.source = names.source
        elif model.vote:
            self.source = model.vote
        if self.source:
            self.outputs.append('names')

    def forward(self, picture: Tensor, size: Optional[Tensor] = None) -> tuple[Tensor, ...]:
        """The maps that ``outputs`` lists."""
        inputs = self.preprocessing(picture)
        shape = inputs.shape[2:]
        feats, tensors = self.model.paint(inputs, [dict(img_shape=shape, pad_shape=shape, ori_shape=shape)])
        of_input = maps = self.model.maps(tensors)
        if size is not None:
            height, width = size.tolist()
            # So that the exporter knows which way the code goes. The graph has no checks, and takes every size: to the
            # same one, resizing changes nothing.
            torch._check(height > 1)
            torch._check(width > 1)
            torch._check(height != shape[0])
            maps = maps.resized((height, width), self.model.align_corners)
        results = dict(labels=maps.labels.int())
        if self.model.with_regions:
            results.update(outside=_outside(maps).int(), group_probs=maps.group_probs)
            results.update({name: maps[name] for name in self.outputs if name in maps})
            if 'input_probs' in self.outputs:
                results['input_probs'] = of_input.group_probs
            results.update({f'feats.{i}': feats[i] for i in self.in_index})
            if self.source == 'logits':
                results['names'] = maps.class_probs[:, list(self.model.taxonomy.class_of_fine)]
            elif self.source:
                results['names'] = maps[self.source]
        return tuple(results[name] for name in self.outputs)


def _outside(maps: Maps) -> Tensor:
    """``maps.outside``, whose index by a mask would give the graph sizes that depend on the picture."""
    taxonomy: Any = maps.taxonomy
    composed = torch.tensor(taxonomy.outside_of_class)[maps.labels]
    stuff = [c for c, group in enumerate(taxonomy.group_of_class) if group < 0]
    if not stuff:
        return composed.where(composed >= 0, torch.tensor(taxonomy.composed_ignore_index))
    return composed.where(composed >= 0, maps.class_scores[:, stuff].argmax(1))


class NameGraph(nn.Module):
    """A picture and its R regions to names.

    ::

        picture (1, H, W, 3) uint8 RGB, regions (1, H, W) int32,
        boxes (R, 4), ids (R,), groups (R,), group_scores (R, G),     ─▶ scores (R, K)
        and what the crops need: feats.i (1, C, h, w), group_probs (1, G, H, W)

    All are in the frame of the network's input: of a picture that was resized, ``input_probs`` are the ``group_probs``.
    R may be 0: a blank region is appended, and its scores are cut off, since some layers refuse an empty batch.

    Args:
        model: A :class:`DeepUNetto` with a fine branch.
        percentile, resizes: As of :class:`SegmentGraph`.
    """

    def __init__(self, model: Any, percentile: Optional[float] = None, resizes: bool = False) -> None:
        super().__init__()
        self.branch = model.fine_branch
        self.preprocessing = Preprocessing(model.data_preprocessor, percentile)
        self.in_index = self.branch.crop_neck.in_index
        self.probs = 'input_probs' if resizes else 'group_probs'
        self.of_picture = [f'feats.{i}' for i in self.in_index] + [self.probs] * self.branch.needs_group_probs
        self.inputs = ['picture', 'regions', 'boxes', 'ids', 'groups', 'group_scores', *self.of_picture]

    def forward(
        self,
        picture: Tensor,
        regions: Tensor,
        boxes: Tensor,
        ids: Tensor,
        groups: Tensor,
        group_scores: Tensor,
        of_picture: Sequence[Tensor],
    ) -> Tensor:
        """Scores (R, K); ``of_picture`` are the maps that the attribute of this name lists."""
        inputs = self.preprocessing(picture)
        maps = dict(zip(self.of_picture, of_picture))
        feats: Any = {i: maps[f'feats.{i}'] for i in self.in_index}
        every = InstanceData()
        for name, value in dict(ids=ids, labels=groups, bboxes=boxes).items():
            # Not ``every[name] =``, which compares lengths; in one graph for all they are not known.
            every.set_field(torch.cat([value, value.new_zeros(1, *value.shape[1:])]), name)
        crops = self.branch.crop_neck([every], regions, inputs, feats, maps.get(self.probs))
        features = [crops] if self.branch.fine_backbone is None else self.branch.fine_backbone(crops)
        group_scores = torch.cat([group_scores, group_scores.new_zeros(1, group_scores.shape[1])])
        return self.branch.fine_head.predict(features, every.labels, group_scores)[:-1]


class SingleGraph(nn.Module):
    """A picture to named regions, with the connected components between the other two graphs.

    ::

        picture (1, H, W, 3) uint8 RGB ─▶ labels (1, H, W), regions (1, H, W), composed (1, H, W) int32,
                                          ids (R,), boxes (R, 4), group_scores (R, G), scores (R, K)

    Args:
        model: A :class:`DeepUNetto` with a fine branch, whose pixels name nothing.
        percentile: As of :class:`Preprocessing`.
    """

    outputs = ('labels', 'regions', 'composed', 'ids', 'boxes', 'group_scores', 'scores')

    def __init__(self, model: Any, percentile: Optional[float] = None) -> None:
        super().__init__()
        self.segment, self.name = SegmentGraph(model, percentile), NameGraph(model, percentile)
        self.taxonomy, self.proposer = model.taxonomy, model.region_proposer

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """What ``outputs`` lists."""
        maps = dict(zip(self.segment.outputs, self.segment(picture)))
        labels = maps['labels'][0].long()
        group_of_class = torch.tensor(self.taxonomy.group_of_class)
        codes = torch.arange(len(group_of_class)) if self.proposer.by_class else group_of_class
        codes = (codes + 1).where(group_of_class >= 0, 0)[labels]
        regions, firsts = _numbered(codes, self.proposer)
        groups = group_of_class[labels.flatten()[firsts]]
        ids = torch.arange(1, firsts.shape[0] + 1)
        # Row 0 is what is in no region.
        row = regions.flatten()
        height, width = codes.shape
        places = torch.arange(width)[None], torch.arange(height)[:, None]
        x, y = (place.expand(height, width).flatten() for place in places)
        low = firsts.new_full((firsts.shape[0] + 1,), 2**31)
        high = torch.zeros_like(low)
        sides = [low.scatter_reduce(0, row, side, 'amin') for side in (x, y)]
        sides += [high.scatter_reduce(0, row, side + 1, 'amax') for side in (x, y)]
        boxes = torch.stack(sides, 1)[1:].float()
        areas = high.scatter_add(0, row, torch.ones_like(row))[1:].clamp(min=1)
        probs = maps['group_probs'][0].flatten(1).T
        sums = probs.new_zeros(firsts.shape[0] + 1, probs.shape[1])
        group_scores = sums.scatter_add(0, row[:, None].expand_as(probs), probs)[1:] / areas[:, None]
        ids = ids + (ids >= PADDING_ID)
        numbered = torch.cat([ids.new_zeros(1), ids])[regions][None].int()
        of_picture = [maps[key] for key in self.name.of_picture]
        scores = self.name(picture, numbered, boxes, ids, groups, group_scores, of_picture)
        composed = torch.tensor(self.taxonomy.composed_of_fine)[scores.argmax(1)]
        composed = torch.cat([composed.new_zeros(1), composed])[regions][None].int()
        composed = composed.where(numbered > 0, maps['outside'])
        return maps['labels'], numbered, composed, ids, boxes, group_scores, scores


def _numbered(codes: Tensor, proposer: Any) -> tuple[Tensor, Tensor]:
    """Regions 1 to R of a map of codes (H, W), 0 for none, the largest first; and their first pixels (R,)."""
    root = _components(codes, proposer.connectivity).flatten()
    index, inside = torch.arange(root.shape[0]), codes.flatten() > 0
    areas = torch.zeros_like(root).scatter_add(0, root, inside.long())
    least: Any = least_areas(proposer.min_area, proposer.taxonomy.group_of_class, proposer.by_class)
    if not isinstance(least, int):
        least = torch.tensor(least)[codes.flatten()]
    (firsts,) = torch.where((root == index) & inside & (areas >= least))
    # A region behind all others is cut off again: sorting nothing is not possible.
    keys = torch.cat([areas[firsts] * root.shape[0] - firsts, firsts.new_full((1,), -(2**62))])
    order = keys.sort(descending=True).indices[:-1][: proposer.max_regions]
    firsts = firsts[order]
    rows = torch.zeros_like(root).scatter(0, firsts, torch.arange(1, firsts.shape[0] + 1))
    return (rows[root] * inside).view(codes.shape), firsts


def _components(codes: Tensor, connectivity: int) -> Tensor:
    """The first pixel of each pixel's connected component, as an index into the flat map; (H, W) int64.

    Each component takes the least index of its neighbours until nothing changes, and skips over those that have done so
    (hooking and pointer jumping: Shiloach and Vishkin, *An O(log n) parallel connectivity algorithm*, 1982).
    """
    height, width = codes.shape
    index = torch.arange(height * width).view(height, width)
    ones, others = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1))[: connectivity // 2]:
        one = slice(height - down), slice(max(0, -right), width - max(0, right))
        other = slice(down, height), slice(max(0, right), width - max(0, -right))
        same = (codes[one] == codes[other]) & (codes[one] > 0)
        ones.append(index[one].flatten())
        others.append(index[other].where(same, index[one]).flatten())
    here, there = torch.cat(ones), torch.cat(others)

    def step(root: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.minimum(root[here], root[there])
        new = root.scatter_reduce(0, root[here], low, 'amin').scatter_reduce(0, root[there], low, 'amin')
        new = new[new]
        return new, (new != root).any()

    start = index.flatten(), torch.ones((), dtype=torch.bool)
    root, _ = torch.while_loop(lambda _, changed: changed.clone(), step, start)
    return root.view(height, width)
