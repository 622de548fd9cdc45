"""Graphs in int8 beside the float ones of an export: faster and smaller, and compared with them."""

import hashlib
import itertools
import json
import logging
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Union

import numpy as np

from deepunetto_mm.deployment.onnx_export import replacing
from deepunetto_mm.ops.overlaps import count_overlaps, encode_regions, match_regions
from deepunetto_mm.runtime import OnnxPredictor, Prediction
from deepunetto_mm.runtime.onnx_predictor import DESCRIPTION, NAME, SEGMENT
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.picture_files import pictures_of_folder, read_picture, require_complete

MOST_PICTURES = 64
# Convolutions of the picture itself cost more in int8 than in float, and everything behind them sees their rounding.
_FEW_CHANNELS = 4


@dataclass
class Int8Difference:
    """What the int8 graphs make of pictures, beside what the float ones do.

    Attributes:
        pictures: Their number.
        pixels: Share of the pixels with another label, from 0 to 1.
        regions: Regions of the float graphs.
        lost: Those without a region of the int8 graphs at an intersection over union (IoU) above 0.5.
        added: Regions of the int8 graphs without one of the float graphs at such an IoU.
        renamed: Regions of both that have another name.
    """

    pictures: int = 0
    pixels: float = 0.0
    regions: int = 0
    lost: int = 0
    added: int = 0
    renamed: int = 0


def calibration_pictures(folder: Union[str, Path]) -> list[Path]:
    """Pictures of a folder to calibrate with: at most 64, evenly spread over their names.

    Raises:
        UsageError: If onnxruntime cannot quantise.
        FileNotFoundError: If there is no such folder, or no picture in it.
        DataError: If a picture is truncated.
    """
    try:
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f'int8 needs onnx and the quantisation of onnxruntime: pip install -e .[onnx] ({error})'
        ) from error
    found = pictures_of_folder(Path(folder), partial(warnings.warn, stacklevel=3))
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(len(found), MOST_PICTURES)).astype(int)]
    for path in chosen:
        require_complete(path)
    return chosen


def quantise(folder: Union[str, Path], pictures: Sequence[Path], threads: int = 0) -> Int8Difference:
    """Add graphs to an export whose convolutions compute in int8, with scales from pictures.

    Weights are rounded channel by channel to 7 bits, since processors without VNNI overflow on sums of 8; values
    between layers to 8 bits, from the least to the largest that the pictures give.

    Args:
        folder: What :func:`export_onnx` wrote; it is replaced as a whole.
        pictures: As of :func:`calibration_pictures`.
        threads: As of :class:`OnnxPredictor`.

    Returns:
        The differences on these pictures.

    Raises:
        UsageError: If no picture has a region, so that ``name.onnx`` cannot be calibrated.
        ValueError: If more than half of the pixels have another label. The folder stays as it is.
    """
    exact = OnnxPredictor(folder, ['CPUExecutionProvider'], threads)
    with replacing(Path(folder)) as partial:
        description = dict(exact.model, int8={})
        for name in exact.model['files']:
            shutil.copy(exact.folder / name, partial)
        for name in (SEGMENT, NAME) if exact.name else (SEGMENT,):
            quantised = f'{Path(name).stem}.int8.onnx'
            if _quantise_graph(partial / name, partial / quantised, _inputs(exact, name, pictures)):
                description['int8'][name] = quantised
                digest = hashlib.sha256((partial / quantised).read_bytes()).hexdigest()
                description['files'] = {**description['files'], quantised: digest}
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding='utf-8')
        rounded = OnnxPredictor(partial, ['CPUExecutionProvider'], threads, int8=True)
        difference = _compare(exact, rounded, pictures)
        if difference.pixels > 0.5:
            raise ValueError(
                f'int8 does not work for this network: {difference.pixels:.0%} of the pixels have another label'
            )
    return difference


def _quantise_graph(source: Path, target: Path, inputs: Iterator[dict[str, np.ndarray]]) -> bool:
    """Whether there are convolutions to quantise, by what the graph is given."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_static

    graph = onnx.load(source).graph
    channels = {entry.name: entry.dims[1] for entry in graph.initializer if len(entry.dims) == 4}
    convolutions = {node.name: node for node in graph.node if node.op_type == 'Conv' and node.input[1] in channels}
    kept = [
        name
        for name, node in convolutions.items()
        if channels[node.input[1]] <= _FEW_CHANNELS and not any(a.name == 'group' and a.i > 1 for a in node.attribute)
    ]
    if len(kept) == len(convolutions):
        return False
    first = next(inputs, None)
    if first is None:
        raise UsageError(f'{source.name} cannot be calibrated: no region is found in the pictures; choose others')
    with _without_advice():
        quantize_static(
            source,
            target,
            _Reader(itertools.chain([first], inputs)),
            op_types_to_quantize=['Conv', 'Relu'],  # a ReLU costs nothing in the convolution before it
            nodes_to_exclude=kept,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,  # twice as fast as QInt8 on x86
            weight_type=QuantType.QInt8,
        )
    return True


class _Reader:
    """Inputs in the form that onnxruntime calibrates with."""

    def __init__(self, inputs: Iterator[dict[str, np.ndarray]]) -> None:
        self.inputs = inputs

    def get_next(self) -> Optional[dict[str, np.ndarray]]:
        return next(self.inputs, None)


class _Recorder:
    """A session that keeps what it is given."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.given: list[dict[str, np.ndarray]] = []

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def run(self, outputs: Any, given: dict[str, np.ndarray]) -> Any:
        self.given.append(given)
        return self.session.run(outputs, given)


def _inputs(predictor: OnnxPredictor, graph: str, pictures: Sequence[Path]) -> Iterator[dict[str, np.ndarray]]:
    """What a graph is given for pictures, one after the other."""
    for path in pictures:
        picture = read_picture(path)
        if graph == SEGMENT:
            yield predictor.inputs_of(picture)
            continue
        session = predictor.name
        predictor.name = recorder = _Recorder(session)
        try:
            predictor.predict(picture)
        finally:
            predictor.name = session
        yield from recorder.given


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without onnxruntime's warning that the graph should be prepared, which changes nothing in these graphs."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _compare(exact: OnnxPredictor, rounded: OnnxPredictor, pictures: Sequence[Path]) -> Int8Difference:
    result, pixels, different = Int8Difference(len(pictures)), 0, 0
    for path in pictures:
        picture = read_picture(path)
        ours, theirs = exact.predict(picture), rounded.predict(picture)
        pixels += ours.labels.size
        different += int((ours.labels != theirs.labels).sum())
        _count_regions(ours, theirs, result)
    result.pixels = different / pixels
    return result


def _count_regions(ours: Prediction, theirs: Prediction, result: Int8Difference) -> None:
    """Add the regions of a picture to a result."""
    if ours.regions is None or theirs.regions is None:
        return
    (one, our_names), (other, their_names) = (
        (encode_regions(found.region_map, found.regions['ids']), found.regions['fine_labels'])  # type: ignore[arg-type, index]
        for found in (ours, theirs)
    )
    overlaps = count_overlaps(one, other, len(our_names), len(their_names))
    pairs = match_regions(overlaps, np.ones(len(overlaps.gt), bool), overlaps.pred_void)
    result.regions += len(our_names)
    result.lost += len(our_names) - len(pairs.gt)
    result.added += len(their_names) - len(pairs.gt)
    result.renamed += int((our_names[pairs.gt] != their_names[pairs.pred]).sum())
