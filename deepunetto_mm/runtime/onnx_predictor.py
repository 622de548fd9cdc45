"""Pictures in, named regions out, from an exported network."""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Union

import numpy as np

from deepunetto_mm.runtime.frames import regions_of_input, transformed
from deepunetto_mm.runtime.naming import Pixels, compose, describe_regions, scores_of_pixels, softmax
from deepunetto_mm.runtime.proposers import propose
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.joining import join_regions
from deepunetto_mm.utils.picture_files import list_pictures, read_picture, require_bgr, require_complete

FORMAT = 7  # of model.json
DESCRIPTION, SEGMENT, NAME = 'model.json', 'segment.onnx', 'name.onnx'
# Those that are installed are used, in this order. OpenVINO would compute in bfloat16 where the processor has it.
PROVIDERS: dict[str, dict[str, str]] = {
    'CUDAExecutionProvider': {},
    'OpenVINOExecutionProvider': {'device_type': 'CPU', 'precision': 'FP32'},
    'CPUExecutionProvider': {},
}

Picture = Union[str, Path, np.ndarray]

# Otherwise onnxruntime sends data about its sessions to Microsoft. It reads this when it is imported, which is later.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')


@dataclass
class Prediction:
    """What is predicted of a picture of H x W pixels.

    Attributes:
        labels: (H, W) int32, segmentation classes.
        composed: (H, W) int32, composed classes; None of a network without regions, and so are the next two.
        region_map: (H, W) int32, region ids, 0 for none.
        regions: Arrays of R regions: ``ids``, ``labels`` (group), ``bboxes`` (R, 4) xyxy half open, ``areas``,
            ``group_probs`` (R, G), ``scores``, ``fine_labels`` and ``fine_scores`` (R, K); ``objectness`` where the
            proposer knows it.
    """

    labels: np.ndarray
    composed: Optional[np.ndarray] = None
    region_map: Optional[np.ndarray] = None
    regions: Optional[dict[str, np.ndarray]] = None


class OnnxPredictor:
    """A network that ``tools/deployment/export.py`` exported, ready for pictures.

    ::

        predictor = OnnxPredictor('exported')
        for result in predictor('smears/'):
            print(result['picture'], [(region['fine_class'], region['fine_score']) for region in result['regions']])

    The results are those of :class:`~deepunetto_mm.apis.DeepUNettoInferencer`. Neither torch nor the OpenMMLab stack is
    imported. ``segment`` and ``name`` are the sessions of onnxruntime, for other uses of the graphs.

    Args:
        folder: What was exported: ``model.json`` and the graphs that it lists.
        providers: Execution providers of onnxruntime; by default CUDA and OpenVINO where they are installed, and the
            CPU.
        threads: Number of threads of an operation, on a CPU; 0 for one per core.
        int8: Whether to use the graphs that ``--int8`` of the export added: faster, and with other results at a few
            pixels.

    Raises:
        ImportError: If onnxruntime is missing, or scikit-image and the network cuts regions at necks or borders.
        FileNotFoundError: If a file is missing.
        ValueError: If the folder was written by another version of the format, a graph is not the one that was
            exported, or int8 graphs are asked for and there are none.
    """

    def __init__(
        self, folder: Union[str, Path], providers: Optional[Sequence[Any]] = None, threads: int = 0, int8: bool = False
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f'OnnxPredictor needs onnxruntime: pip install onnxruntime ({error})') from error
        self.folder = Path(folder)
        self.model = _read_description(self.folder)
        self._int8 = self.model.get('int8', {}) if int8 else {}  # file of the int8 graph, by that of the float one
        if int8 and not self._int8:
            raise ValueError(f'{self.folder} has no int8 graphs: export again with --int8 and a folder of pictures')
        proposer = self.model['proposer'] or {}
        if (proposer.get('necks') or 'borders' in proposer) and not find_spec('skimage'):
            raise ImportError(f'{self.folder} cuts regions, which needs scikit-image: install it')
        self.taxonomy = Taxonomy.from_dict(self.model['taxonomy'])
        installed = onnxruntime.get_available_providers()
        self._providers = providers or [(name, own) for name, own in PROVIDERS.items() if name in installed]
        self._open_session = onnxruntime.InferenceSession
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self.segment = self._open(SEGMENT)
        self._outputs = [output.name for output in self.segment.get_outputs()]
        self._resizes = len(self.segment.get_inputs()) > 1
        self.name = self._open(NAME) if NAME in self.model['files'] else None

    def _open(self, name: str) -> Any:
        name = self._int8.get(name, name)
        content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.model['files'][name]:
            raise ValueError(
                f'{self.folder / name} is not the file that {DESCRIPTION} describes (its sha256 differs): copy the '
                'whole folder again'
            )
        return self._open_session(content, self._options, providers=self._providers)

    def __call__(self, pictures: Union[Picture, Sequence[Picture]], top_k: int = 5) -> list[dict[str, Any]]:
        """Predict on pictures, in their order.

        Args:
            pictures: A file; a folder, whose pictures are sorted by name, without its subfolders and hidden files; an
                array (H, W, 3) uint8 BGR, as OpenCV reads it; or a list of those.
            top_k: Number of fine classes to list for each region.

        Returns:
            For each picture a dict: ``picture``, its path, or ``array_0000`` for an array; ``width``, ``height``; and
            ``regions``, as in :func:`~deepunetto_mm.runtime.describe_regions`.

        Raises:
            FileNotFoundError: If files do not exist; raised before any prediction.
            DataError: If a picture is truncated, which is raised before any prediction, or cannot be decoded.
            ValueError: If an array has another shape or type, or ``top_k`` is below 1.
            TypeError: If a picture is something else.
        """
        return list(self.stream(pictures, top_k))

    def stream(self, pictures: Union[Picture, Sequence[Picture]], top_k: int = 5) -> Iterator[dict[str, Any]]:
        """As :meth:`__call__`, one result after the other, for more pictures than fit in memory."""
        if top_k < 1:
            raise ValueError(f'top_k must be at least 1, got {top_k}')
        for name, source in _list_sources(pictures):
            picture = read_picture(source) if isinstance(source, Path) else source
            height, width = picture.shape[:2]
            found = self.predict(picture)
            regions = (
                []
                if found.regions is None or found.region_map is None
                else describe_regions(found.regions, found.region_map, self.taxonomy, top_k)
            )
            yield dict(picture=name, width=width, height=height, regions=regions)

    def predict(self, picture: np.ndarray) -> Prediction:
        """Maps and regions of a picture (H, W, 3) uint8 BGR."""
        given = self.inputs_of(picture)
        maps = dict(zip(self._outputs, self.segment.run(None, given)))
        own = {name: batch[0] for name, batch in maps.items()}
        if self.model['proposer'] is None:
            return Prediction(own['labels'])
        table, objectness = propose(self.model['proposer'], self.taxonomy, own)
        pixels = Pixels(table.region_map, table.ids)
        regions = dict(ids=table.ids, labels=table.labels, bboxes=table.bboxes, areas=table.areas)
        regions['group_probs'] = pixels.means(own['group_probs'])
        if objectness is not None:
            regions['objectness'] = objectness
        scores = np.ones(1, np.float32) if self.name is None else self._score(given, maps, table.region_map, regions)
        if self.name is None or self.model['pixels_name']:
            means = pixels.means(own['names'])
            probs = regions['group_probs'] if self.model['pixels_name'] == 'soft' else None
            scores = scores * scores_of_pixels(means, table.labels, self.taxonomy, self.model['names'], probs)
            scores /= np.maximum(scores.sum(1, keepdims=True), np.finfo(np.float32).tiny)
        regions['fine_scores'], region_map = scores, table.region_map
        if self.model['join']:
            region_map, regions = join_regions(region_map, regions, self.taxonomy.group_of_fine)
            pixels, scores = Pixels(region_map, regions['ids']), regions['fine_scores']
        # The name decides on the group too, which may be another than the segmentation's.
        regions['fine_labels'] = scores.argmax(1)
        regions['labels'] = np.asarray(self.taxonomy.group_of_fine)[regions['fine_labels']]
        of_group = np.take_along_axis(regions['group_probs'], regions['labels'][:, None], 1)[:, 0]
        regions['scores'] = of_group * regions.get('objectness', 1)
        votes = own['names'] if self.model['vote'] else None
        if votes is not None and self.model['names'] == 'logits':
            votes = softmax(votes, 0)
        composed = compose(own['outside'], pixels, scores, self.taxonomy, votes)
        return Prediction(own['labels'], composed, region_map, regions)

    def inputs_of(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """What ``segment`` is given for a picture (H, W, 3) uint8 BGR."""
        changed = transformed(picture, self.model['transforms'])
        given = dict(picture=np.ascontiguousarray(changed[None, ..., ::-1]))
        if self._resizes:
            given['size'] = np.array(picture.shape[:2])
        return given

    def _score(
        self, given: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], region_map: np.ndarray, regions: dict
    ) -> np.ndarray:
        assert self.name is not None
        picture, boxes = given['picture'], regions['bboxes']
        if self._resizes:
            boxes, region_map = regions_of_input(boxes, region_map, picture.shape[1:3])
        of_picture = dict(maps, picture=picture, regions=region_map[None])
        of_regions = dict(
            boxes=boxes, ids=regions['ids'], groups=regions['labels'], group_scores=regions['group_probs']
        )
        asked = [entry.name for entry in self.name.get_inputs()]
        fixed = {name: value for name, value in of_picture.items() if name in asked}
        count, at_once = len(regions['ids']), self.model['crops_per_pass']
        scores = [np.zeros((0, len(self.taxonomy.fine_classes)), np.float32)]
        for start in range(0, count, at_once):
            part = {name: value[start : start + at_once] for name, value in of_regions.items() if name in asked}
            scores += self.name.run(None, {**fixed, **part})
        return np.concatenate(scores)


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f'no {path}: name the folder that tools/deployment/export.py wrote')
    try:
        model = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f'{path} is not JSON ({error}): copy the whole folder again') from error
    if model.get('format') != FORMAT:
        raise ValueError(f'{path} has the format {model.get("format")}, and this version reads {FORMAT}: export again')
    return model


def _list_sources(pictures: Any) -> list[tuple[str, Union[Path, np.ndarray]]]:
    """Names and pictures, checked as far as possible without decoding."""
    sources = list_pictures(pictures, _in_memory, partial(warnings.warn, stacklevel=4))
    for _, source in sources:
        if isinstance(source, Path):
            require_complete(source)
    return sources


def _in_memory(picture: Any, position: int) -> np.ndarray:
    if not isinstance(picture, np.ndarray):
        raise TypeError(f'picture {position} is a {type(picture).__name__}; a path or an array is wanted')
    return require_bgr(picture, position)
