"""Dense maps: what the network paints of pictures, and how each kind of map is moved between frames.

Every map has a *kind*, which decides how it is resized, flipped and averaged:

- ``'logits'``: class scores. Several views are averaged as probabilities.
- ``'heat'``: values of a pixel that do not depend on its neighbours or on the direction, such as a heat map of centres.
- ``'vectors'``: pairs of channels (x, y), in pixels of the map itself. Resizing scales them, and a flip turns the sign
  of one of the two. They are relative to their pixel, so that a tile's vectors hold in the whole picture.

Tiles and windows are weighted sums of maps of one frame, which is the same for every kind.
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .frames import padding_of
from .taxonomy import Taxonomy

KINDS = ('logits', 'heat', 'vectors')


def resize_map(x: Tensor, size: Sequence[int], kind: str, align_corners: bool = False) -> Tensor:
    """Resize a map (N, C, h, w) bilinearly to ``size``, its height and width."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    resized = F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=align_corners)
    if kind != 'vectors':
        return resized
    # Not a tensor of the two factors: in an exported graph they follow from sizes that are not known.
    scales = size[1] / x.shape[3], size[0] / x.shape[2]
    return torch.cat([plane * scales[i % 2] for i, plane in enumerate(resized.split(1, 1))], 1)


def flip_map(x: Tensor, direction: str, kind: str) -> Tensor:
    """Flip a map (N, C, h, w) ``'horizontal'`` or ``'vertical'``.

    Raises:
        ValueError: If the direction is another one.
    """
    if direction not in ('horizontal', 'vertical'):
        raise ValueError(f"flip_direction must be 'horizontal' or 'vertical', got {direction!r}")
    horizontal = direction == 'horizontal'
    x = x.flip(3 if horizontal else 2)
    if kind != 'vectors':
        return x
    sign = x.new_tensor([-1.0, 1.0] if horizontal else [1.0, -1.0])
    return x * sign.repeat(x.shape[1] // 2)[:, None, None]


def mean_map(views: Sequence[Tensor], kind: str) -> Tensor:
    """Average maps (N, C, h, w) of the same pictures, given in the same frame."""
    # View by view: the probabilities of all of them together would be the largest thing in memory.
    mean = functools.reduce(torch.add, map(class_probabilities, views) if kind == 'logits' else views) / len(views)
    if kind != 'logits':
        return mean
    logits = mean.clamp(min=1e-12).log()
    # One channel represents two classes: its sigmoid is the probability of the second.
    return logits[:, 1:] - logits[:, :1] if views[0].shape[1] == 1 else logits


def class_probabilities(logits: Tensor) -> Tensor:
    """Probability of each class, (N, C, H, W) float32, of logits; of two classes where mmseg has one channel."""
    if logits.shape[1] > 1:
        return logits.float().softmax(1)
    probs = logits.float().sigmoid()
    return torch.cat([1 - probs, probs], dim=1)


class _Lazy(Mapping[str, Tensor]):
    """Maps by name, each of which is made when it is first asked for: nobody pays for a map that is not read."""

    def __init__(self, names: Iterable[str], make: Callable[[str], Tensor]) -> None:
        self._names, self._make = tuple(names), make
        self._made: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Maps:
    """All maps of N pictures in one frame, and what follows from them.

    Maps in another frame, label map, probabilities and the composed labels of stuff are computed when they are first
    asked for, and once. Pictures without logits have the latter from the start (:meth:`known`).

    Args:
        tensors: Maps (N, C, H, W) by name, all of one size; ``'logits'`` are the class logits.
        kinds: The kind of each.
        taxonomy: Needed for :attr:`group_probs` and :attr:`outside`.
        threshold: Of the probability of the second class, where the logits have one channel.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        kinds: Mapping[str, str],
        taxonomy: Optional[Taxonomy] = None,
        threshold: Optional[float] = None,
    ) -> None:
        self.tensors = tensors
        self.kinds = {name: kinds[name] for name in self.tensors}
        self.taxonomy = taxonomy
        self.threshold = threshold

    @classmethod
    def known(
        cls,
        taxonomy: Taxonomy,
        tensors: Mapping[str, Tensor] = {},
        kinds: Mapping[str, str] = {},
        labels: Optional[Tensor] = None,
        group_probs: Optional[Tensor] = None,
        outside: Optional[Tensor] = None,
    ) -> Maps:
        """Maps of pictures of which there are no logits, but what would follow from them: properties of that name."""
        maps = cls(tensors, kinds, taxonomy)
        derived = dict(labels=labels, group_probs=group_probs, outside=outside)
        maps.__dict__.update({name: value for name, value in derived.items() if value is not None})
        return maps

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise KeyError(
                f'there is no map {name!r} of this picture, only {sorted(self.tensors)}: is its head in dense_heads, '
                'or was the picture predicted with test_cfg.keep_logits=False?'
            )
        return self.tensors[name]

    @property
    def logits(self) -> Tensor:
        """Class logits (N, C, H, W)."""
        return self['logits']

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.labels.shape[1:] if 'logits' not in self.tensors else self.logits.shape[2:]
        return height, width

    @functools.cached_property
    def class_probs(self) -> Tensor:
        """Probability of each class, (N, C, H, W) float32."""
        return class_probabilities(self.logits)

    @property
    def class_scores(self) -> Tensor:
        """What orders the classes of a pixel by their probability, (N, C, H, W): logits, since small probabilities
        underflow to 0.
        """
        return self.logits if self.logits.shape[1] > 1 else torch.cat([torch.zeros_like(self.logits), self.logits], 1)

    @functools.cached_property
    def labels(self) -> Tensor:
        """Segmentation class of each pixel, (N, H, W) integers."""
        if self.logits.shape[1] > 1:
            return self.logits.max(1).indices  # the same as argmax, which takes four times as long on a CPU
        assert self.threshold is not None, 'mmseg gives decode heads of one channel a threshold'
        return (self.logits[:, 0].sigmoid() > self.threshold).long()

    @functools.cached_property
    def group_probs(self) -> Tensor:
        """Probability of each group, the sum over its classes, (N, G, H, W) float32."""
        return self._of_groups(self.class_probs)

    def class_probs_at(self, picture: int, where: tuple[Tensor, ...], rows: slice = slice(None)) -> Tensor:
        """Class probabilities (C, P) of some pixels of a picture, without the softmax of all others.

        Args:
            picture: Its index.
            where: Row and column of these P pixels, (P,) int64 each, in a strip of the picture.
            rows: The rows of that strip.
        """
        y, x = where
        if 'class_probs' in self.__dict__:
            return self.class_probs[picture][:, rows][:, y, x]
        return class_probabilities(self.logits[picture][:, rows][:, y, x][None])[0]

    def group_probs_at(self, picture: int, where: tuple[Tensor, ...], rows: slice = slice(None)) -> Tensor:
        """The same of the groups, (G, P)."""
        if 'group_probs' in self.__dict__:
            return self.group_probs[picture][:, rows][:, where[0], where[1]]
        return self._of_groups(self.class_probs_at(picture, where, rows)[None])[0]

    def _of_groups(self, class_probs: Tensor) -> Tensor:
        # Planes, and not an index for each group, whose gradient would fill the whole tensor with zeros for every one.
        planes, groups = class_probs.unbind(1), self._taxonomy.group_of_class
        members = [[plane for plane, own in zip(planes, groups) if own == g] for g in range(len(self._taxonomy.groups))]
        return torch.stack([functools.reduce(torch.add, own) for own in members], dim=1)

    @functools.cached_property
    def outside(self) -> Tensor:
        """The composed labels that hold outside of any region, (N, H, W) int64.

        Pixels of a group's class outside of any region (too small, or one too many) get the fine class that their class
        implies, or else the most probable stuff class; the ignore index, if the taxonomy has no stuff.
        """
        return self.outside_of(torch.zeros_like(self.labels))

    def outside_of(self, region_maps: Tensor) -> Tensor:
        """As :attr:`outside`, but labels inside of regions are arbitrary, which saves computing them.

        Args:
            region_maps: (N, H, W) integers, 0 for no region.
        """
        if 'outside' in self.__dict__:
            return self.outside
        taxonomy = self._taxonomy
        labels = self.labels.long()
        composed = labels.new_tensor(taxonomy.outside_of_class)[labels]
        stuff = [c for c, group in enumerate(taxonomy.group_of_class) if group < 0]
        for i, (own, region_map) in enumerate(zip(composed, region_maps)):
            open_ = torch.where((own < 0) & (region_map == 0))
            # The composed labels begin with the stuff classes, in the same order.
            likely = self.class_scores[i][:, open_[0], open_[1]]
            own[open_] = likely[stuff].argmax(0) if stuff else taxonomy.composed_ignore_index
        return composed

    def named_labels(self, name: str) -> Tensor:
        """:attr:`labels`, but with the likeliest name for each pixel of a group, (N, H, W) integers.

        Args:
            name: The map of logits of the K fine classes.

        Returns:
            Segmentation classes, and from the number of these on fine classes.

        Raises:
            ValueError: If the map has another number of channels.
        """
        taxonomy, labels = self._taxonomy, self.labels
        if self[name].shape[1] != len(taxonomy.fine_classes):
            raise ValueError(
                f'by_name={name!r} has {self[name].shape[1]} channels, not one for each of the '
                f'{len(taxonomy.fine_classes)} fine classes'
            )
        groups = labels.new_tensor([*taxonomy.group_of_class])[labels.long()]
        for group in range(len(taxonomy.groups)):
            own = taxonomy.children(group)
            likeliest = self[name][:, own[0] : own[-1] + 1].max(1).indices
            labels = torch.where(groups == group, likeliest.to(labels) + len(taxonomy.classes) + own[0], labels)
        return labels

    @property
    def _taxonomy(self) -> Taxonomy:
        if self.taxonomy is None:
            raise ValueError('groups and composed labels need a taxonomy: give the model one')
        return self.taxonomy

    def detach(self) -> Maps:
        """The same maps without their gradients; what was computed of them is kept."""
        return self._each(Tensor.detach)

    def select(self, pictures: Sequence[int]) -> Maps:
        """The maps of some of the pictures."""
        index = list(pictures)
        return self._each(lambda x: x[index])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Maps:
        maps = self._with(lambda name: change(self.tensors[name]))
        for name in ('class_probs', 'labels', 'group_probs', 'outside'):
            if name in self.__dict__:
                maps.__dict__[name] = change(self.__dict__[name])
        return maps

    def resized(self, size: Sequence[int], align_corners: bool = False) -> Maps:
        """The maps at another size, its height and width."""
        return self._with(lambda name: resize_map(self.tensors[name], size, self.kinds[name], align_corners))

    def originals(self, metas: Sequence[Mapping[str, Any]], align_corners: bool = False) -> list[Maps]:
        """The maps of each picture in the frame of its original: padding cut off, flipped back, resized.

        Args:
            metas: Meta information of each picture's data sample: how the original became the input. Without an
                ``ori_shape`` it is the input.
            align_corners: Of the resizing.

        Returns:
            N maps of one picture each. A single picture that is its own original keeps these maps, and so what was or
            will be computed of them.
        """
        if len(metas) == 1 and self._is_original(metas[0]):
            return [self]
        return [self._original(i, meta, align_corners) for i, meta in enumerate(metas)]

    def _is_original(self, meta: Mapping[str, Any]) -> bool:
        return (
            not (meta.get('flip') or any(padding_of(meta))) and tuple(meta.get('ori_shape', self.size))[:2] == self.size
        )

    def _original(self, i: int, meta: Mapping[str, Any], align_corners: bool) -> Maps:
        left, right, top, bottom = padding_of(meta)
        height, width = self.size

        def original(name: str) -> Tensor:
            kind = self.kinds[name]
            x = self.tensors[name][i : i + 1, :, top : height - bottom, left : width - right]
            if meta.get('flip'):
                x = flip_map(x, meta['flip_direction'], kind)
            return resize_map(x, meta.get('ori_shape', x.shape[2:])[:2], kind, align_corners)

        return self._with(original)

    @staticmethod
    def mean(views: Sequence[Maps]) -> Maps:
        """Average maps of the same pictures, given in the same frame."""
        first = views[0]
        return first._with(lambda name: mean_map([view.tensors[name] for view in views], first.kinds[name]))

    def _with(self, make: Callable[[str], Tensor]) -> Maps:
        return Maps(_Lazy(self.tensors, make), self.kinds, self.taxonomy, self.threshold)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)


class View(NamedTuple):
    """A batch as the network sees it: what the fine branch is given besides the regions."""

    inputs: Tensor  # (N, 3, H, W)
    feats: Optional[Sequence[Tensor]]  # of the backbone and neck; None with windows and tiles
    maps: Maps  # at the size of the inputs
