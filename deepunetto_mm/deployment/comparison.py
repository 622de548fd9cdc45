"""An exported network beside the network itself, on drawn scenes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import torch

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.deployment.graphs import NameGraph, SingleGraph
from deepunetto_mm.deployment.preparation import preparation_of
from deepunetto_mm.runtime import OnnxPredictor
from deepunetto_mm.runtime.onnx_predictor import NAME, SEGMENT

SINGLE = 'pipeline.onnx'
LARGEST_DIFFERENCE = 1e-4
SIZES = ((96, 128), (97, 131), (160, 75))  # height and width of the pictures that are compared


@dataclass
class Difference:
    """What an export makes of a picture, beside what the network itself does.

    Attributes:
        picture: The picture, and the graph if it is the single one, in words.
        regions: Their number.
        largest: The largest difference of a probability or score.
    """

    picture: str
    regions: int
    largest: float


def compare(inferencer: DeepUNettoInferencer, predictor: OnnxPredictor) -> list[Difference]:
    """Predict drawn scenes of several sizes by both.

    Raises:
        ValueError: If a label, a region or a name differs, or a probability by more than 1e-4.
    """
    differences = []
    for height, width in SIZES:
        picture = RodConeShapes(num_scenes=1, seed=height, size=(height, width))[0]['img']
        found = predictor.predict(picture)
        same: dict[str, Any] = dict(labels=found.labels)
        near = {}
        if found.regions is not None:
            same.update(regions=found.region_map, names=found.regions['fine_labels'], composed=found.composed)
            near = {key: found.regions[key] for key in ('group_probs', 'scores', 'fine_scores')}
        largest = _require_alike('the exported network', inferencer, picture, same, near)
        differences.append(Difference(f'{height}x{width}', len(near.get('fine_scores', ())), largest))
    _compare_graphs(picture, inferencer, predictor)
    return differences


def compare_single(inferencer: DeepUNettoInferencer, path: Path) -> list[Difference]:
    """Predict the scenes of :func:`compare`, and a white picture, by the single graph too.

    Raises:
        ValueError: As of :func:`compare`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    pictures = [RodConeShapes(num_scenes=1, seed=size[0], size=size)[0]['img'] for size in SIZES]
    differences = []
    for picture in (*pictures, np.full((40, 41, 3), 255, np.uint8)):
        rgb = np.ascontiguousarray(picture[None, ..., ::-1])
        found = dict(zip(SingleGraph.outputs, session.run(SingleGraph.outputs, {'picture': rgb})))
        labels, regions, composed = (found[name][0] for name in ('labels', 'regions', 'composed'))
        same = dict(labels=labels, regions=regions, ids=found['ids'], boxes=found['boxes'], composed=composed)
        near = dict(group_probs=found['group_scores'], fine_scores=found['scores'])
        largest = _require_alike(SINGLE, inferencer, picture, same, near)
        height, width = picture.shape[:2]
        differences.append(Difference(f'{height}x{width} by {SINGLE}', len(found['ids']), largest))
    return differences


def _compare_graphs(picture: np.ndarray, inferencer: DeepUNettoInferencer, predictor: OnnxPredictor) -> None:
    """The graphs alone: two pictures at once; three made-up regions, and none, of which the runtime asks nothing."""
    given = predictor.inputs_of(picture)
    both = np.concatenate([given['picture'], given['picture'][:, ::-1, ::-1]])
    at_once, one = (predictor.segment.run(None, {**given, 'picture': pictures}) for pictures in (both, both[1:]))
    for batched, alone in zip(at_once, one):
        if not np.allclose(batched[1:], alone, rtol=0, atol=LARGEST_DIFFERENCE):
            raise ValueError(f'{SEGMENT} differs between two pictures at once and one')
    if predictor.name is None:
        return
    preparation = preparation_of(inferencer)
    graph = NameGraph(inferencer.model, preparation.percentile, preparation.resizes)
    maps = dict(zip([output.name for output in predictor.segment.get_outputs()], one))
    height, width = both.shape[1:3]
    groups = len(predictor.taxonomy.groups)
    for count in (0, 3):
        regions = np.zeros((1, height, width), np.int32)
        for region in range(count):
            regions[0, region * 20 : region * 20 + 15, 5 : 30 + 10 * region] = region + 1
        boxes = [[5, region * 20, 30 + 10 * region, region * 20 + 15] for region in range(count)]
        given = dict(
            maps,
            picture=both[1:],
            regions=regions,
            boxes=np.array(boxes, np.float32).reshape(count, 4),
            ids=np.arange(1, count + 1),
            groups=np.arange(count) % groups,
            group_scores=np.full((count, groups), 1 / groups, np.float32),
        )
        tensors = [torch.from_numpy(given[name].copy()) for name in graph.inputs]
        fixed = len(graph.inputs) - len(graph.of_picture)
        with torch.no_grad():
            expected = graph(*tensors[:fixed], tensors[fixed:]).numpy()
        asked = [entry.name for entry in predictor.name.get_inputs()]
        (scores,) = predictor.name.run(None, {name: given[name] for name in asked})
        if scores.shape != expected.shape or not np.allclose(scores, expected, rtol=0, atol=LARGEST_DIFFERENCE):
            raise ValueError(f'{NAME} differs: it gives other scores to {count} regions')


def _require_alike(
    name: str,
    inferencer: DeepUNettoInferencer,
    picture: np.ndarray,
    same: Mapping[str, Any],
    near: Mapping[str, np.ndarray],
) -> float:
    """Raise unless ``name`` predicted what the network does of a picture, of ``near`` up to rounding.

    Returns the largest difference.
    """
    (sample,) = inferencer(picture, return_datasamples=True)
    expected = dict(labels=sample.pred_sem_seg.data[0].numpy())
    if 'pred_regions' in sample:
        table = sample.pred_regions.numpy()
        expected.update(
            regions=sample.pred_region_map.data[0].numpy(),
            composed=sample.pred_fine_seg.data[0].numpy(),
            ids=table['ids'],
            boxes=table['bboxes'],
            names=table['fine_labels'],
            **{key: table[key] for key in near},
        )
    what = f'of a picture of {picture.shape[0]}x{picture.shape[1]}'
    for key, theirs in same.items():
        ours = expected[key]
        if ours.shape != theirs.shape or (ours != theirs).any():
            number = (ours != theirs).sum() if ours.shape == theirs.shape else 'all'
            raise ValueError(f'{name} differs: {number} of {ours.size} {key} {what}')
    largest = float(np.max([np.abs(expected[key] - theirs).max(initial=0) for key, theirs in near.items()], initial=0))
    if not largest <= LARGEST_DIFFERENCE:
        raise ValueError(f'{name} differs: by {largest:.2g} in a score {what}')
    return largest
