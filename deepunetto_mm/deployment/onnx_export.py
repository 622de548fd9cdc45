"""Export to ONNX."""

import copy
import hashlib
import json
import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Union

import torch
from mmengine.utils import digit_version

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.deployment.comparison import SINGLE, SIZES, Difference, compare, compare_single
from deepunetto_mm.deployment.graphs import NameGraph, SegmentGraph, SingleGraph
from deepunetto_mm.deployment.preparation import Preparation, preparation_of
from deepunetto_mm.models.regions import (
    BorderWatershed,
    CentreOffsetProposer,
    ConnectedComponentsProposer,
    DistanceWatershed,
)
from deepunetto_mm.models.segmentors.passes import WholePass
from deepunetto_mm.runtime import OnnxPredictor
from deepunetto_mm.runtime.onnx_predictor import DESCRIPTION, FORMAT, NAME, SEGMENT
from deepunetto_mm.utils.config_parts import type_name
from deepunetto_mm.utils.errors import UsageError, message_of
from deepunetto_mm.version import __version__

OPSET = 20  # onnxruntime has no RoiAlign of later ones
_FILES = {DESCRIPTION, *(name.replace('.', f'{kind}.') for name in (SEGMENT, NAME, SINGLE) for kind in ('', '.int8'))}
_PROPOSERS = (ConnectedComponentsProposer, CentreOffsetProposer, BorderWatershed)  # which the runtime has


def export_onnx(
    inferencer: DeepUNettoInferencer, out: Union[str, Path], single_graph: bool = False
) -> list[Difference]:
    """Write ``model.json``, ``segment.onnx``, and ``name.onnx`` if there is a fine branch, into a folder.

    Args:
        inferencer: The network, on the CPU.
        out: The folder. An earlier export in it is replaced as a whole, after the new one has been compared.
        single_graph: Whether to write ``pipeline.onnx`` too, :class:`SingleGraph`.

    Returns:
        What was compared.

    Raises:
        UsageError: If a part cannot be exported, ``out`` has other files, or PyTorch is too old.
        ValueError: If the exported network gives other results.
    """
    if digit_version(torch.__version__) < digit_version('2.9'):
        raise UsageError(f'the export needs PyTorch 2.9 or newer, and this is {torch.__version__}')
    preparation = require_exportable(inferencer, single_graph)
    with replacing(Path(out)) as partial:
        _write_graphs(inferencer.model, preparation, partial, single_graph)
        _write_description(inferencer, preparation, partial)
        differences = compare(inferencer, OnnxPredictor(partial, ['CPUExecutionProvider']))
        if single_graph:
            differences += compare_single(inferencer, partial / SINGLE)
    return differences


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``out`` once it is written as a whole; after an error ``out`` stays.

    Raises:
        UsageError: If ``out`` has other files than an export, or is where the process is.
    """
    place = out.resolve()
    if Path.cwd().is_relative_to(place):
        raise UsageError(
            f'{out} is the current folder, which cannot be replaced: go to another one, or name a new folder'
        )
    if place.exists() and not (place.is_dir() and {path.name for path in place.iterdir()} <= _FILES):
        raise UsageError(f'{out} has other files than an export: name a new folder')
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{place.name}.', dir=place.parent) as folder:
        partial, earlier = Path(folder, 'new'), Path(folder, 'earlier')
        partial.mkdir()
        yield partial
        if place.exists():
            place.rename(earlier)
        try:
            partial.rename(place)
        except OSError:
            if earlier.exists():
                earlier.rename(place)
            raise


def require_exportable(inferencer: DeepUNettoInferencer, single_graph: bool = False) -> Preparation:
    """Raise UsageError, which names the part, if the graphs or the runtime cannot do what the network does.

    Returns:
        How a picture becomes the network's input.
    """
    model = inferencer.model
    if not isinstance(model.passing, WholePass):
        if hasattr(model.decode_head, 'output_margin'):
            raise UsageError(f'{type_name(model.decode_head)} is unpadded, and only padded networks can be exported')
        raise UsageError("only test_cfg.mode='whole' can be exported: the graph takes the picture as a whole")
    preprocessor = model.data_preprocessor
    if type_name(preprocessor) != 'SegDataPreProcessor' or preprocessor.test_cfg:
        what = 'test_cfg of SegDataPreProcessor' if preprocessor.test_cfg else type_name(preprocessor)
        raise UsageError(f'the data preprocessor cannot be exported: {what} is not in the graph')
    preparation = preparation_of(inferencer)
    if single_graph and preparation.resizes:
        raise UsageError('--single-graph cannot resize pictures: remove Resize from test_dataloader, or export without')
    if single_graph and (not model.with_fine or model.vote or model.fine_branch.pixel_names is not None):
        raise UsageError('--single-graph needs crops that name the regions by themselves: no names of pixels, no vote')
    if single_graph and model.join:
        raise UsageError('--single-graph cannot join regions: set model.test_cfg.join=False, or export without')
    if model.with_regions:
        _require_proposer(model, single_graph)
    return preparation


def _require_proposer(model: Any, single_graph: bool) -> None:
    proposer = model.region_proposer
    allowed = _PROPOSERS[:1] if single_graph else _PROPOSERS
    if type(proposer) not in allowed:
        owner, names = '--single-graph' if single_graph else 'the runtime', ', '.join(p.__name__ for p in allowed)
        raise UsageError(f'{type_name(proposer)} cannot be exported: {owner} has {names}')
    if proposer.by_name is not None and (single_graph or proposer.by_name != SegmentGraph(model).source):
        what = (
            '--single-graph has no names of pixels' if single_graph else f'set model.region_names={proposer.by_name!r}'
        )
        raise UsageError(f'regions by_name={proposer.by_name!r} cannot be exported: {what}')
    splitter = proposer.splitter
    if splitter is not None and (type(splitter) is not DistanceWatershed or single_graph):
        what = '--single-graph has none' if single_graph else 'the runtime has DistanceWatershed'
        raise UsageError(f'the splitter {type_name(splitter)} cannot be exported: {what}')


def _write_graphs(model: Any, preparation: Preparation, folder: Path, single_graph: bool) -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(f'export needs onnxscript and onnxruntime: pip install -e .[onnx] ({error})') from error
    from deepunetto_mm.deployment.translations import TRANSLATIONS, replace_same_convolutions

    model = copy.deepcopy(model)
    replace_same_convolutions(model)

    def write(
        graph: Any, example: tuple, name: str, inputs: Sequence[str], outputs: Sequence[str], axes: Optional[tuple]
    ) -> None:
        with _quiet(name), torch.no_grad():
            torch.onnx.export(
                graph,
                example,
                str(folder / name),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=axes,
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )

    # Examples of two pictures and two regions: sizes of 1 would be taken for constants.
    # And odd sizes: where the network resizes a map to the size that it has already, the graph would not.
    height, width = SIZES[1]
    picture = torch.arange(2 * height * width * 3).remainder(251).to(torch.uint8).view(2, height, width, 3)
    percentile, resizes = preparation.percentile, preparation.resizes
    segment = SegmentGraph(model, percentile, resizes).eval()
    sizes = (torch.tensor([height // 2, width // 2]),) if resizes else ()
    axes: tuple = ({0: 'N', 1: 'H', 2: 'W'}, *[None] * resizes)
    write(segment, (picture, *sizes), SEGMENT, segment.inputs, segment.outputs, axes)
    if not model.with_fine:
        return
    name = NameGraph(model, percentile, resizes).eval()
    with torch.no_grad():
        maps = dict(zip(segment.outputs, segment(picture[:1], *sizes)))
    example = (
        picture[:1],
        torch.ones(1, height, width, dtype=torch.int32),
        torch.tensor([[0.0, 0.0, 40.0, 30.0], [8.0, 9.0, 60.0, 50.0]]),
        torch.tensor([1, 2]),
        torch.tensor([0, 0]),
        torch.full((2, len(model.taxonomy.groups)), 0.5),
        [maps[key] for key in name.of_picture],
    )
    of_maps = [{2: f'h{i}', 3: f'w{i}'} for i in range(len(name.of_picture))]
    axes = ({1: 'H', 2: 'W'}, {1: 'H', 2: 'W'}, *[{0: 'R'}] * 4, of_maps)
    write(name, example, NAME, name.inputs, ['scores'], axes)
    if single_graph:
        # Sizes with names would be limited by what the exporter concludes of the number of regions.
        free = ({1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC},)
        single = SingleGraph(model, percentile).eval()
        with _quiet(SINGLE), torch.no_grad():
            program = torch.export.export(single, (picture[:1],), dynamic_shapes=free, strict=False)
        write(program, (picture[:1],), SINGLE, ['picture'], single.outputs, None)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the exporter's notes about its own steps, and with the cause of its errors alone."""
    logger = logging.getLogger('torch')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except torch.onnx.errors.OnnxExporterError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UsageError(f'{name}: torch cannot export a part of the network: {message_of(cause)}') from error
    finally:
        logger.setLevel(level)


def _write_description(inferencer: DeepUNettoInferencer, preparation: Preparation, folder: Path) -> None:
    import onnx

    model = inferencer.model
    source = SegmentGraph(model).source
    second = getattr(getattr(model, 'fine_branch', None), 'pixel_names', None)
    meta = inferencer.visualizer.dataset_meta
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob('*.onnx'))}
    description = dict(
        format=FORMAT,
        taxonomy=inferencer.taxonomy.to_dict(),
        palette=meta['palette'],
        fine_palette=meta['fine_palette'],
        transforms=preparation.transforms,
        proposer=_described(model.region_proposer) if model.with_regions else None,
        names=source and ('class_probs' if source == 'logits' else 'logits'),  # what the map of that name has
        vote=bool(model.vote),
        pixels_name=second and second.condition,  # beside crops
        join=model.join,
        crops_per_pass=getattr(getattr(model, 'fine_branch', None), 'crops_per_pass', None),
        files=files,
        versions=dict(deepunetto_mm=__version__, torch=torch.__version__, onnx=onnx.__version__, opset=OPSET),
    )
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding='utf-8')


def _described(proposer: Any) -> dict[str, Any]:
    options = ['connectivity', 'min_area', 'max_regions', 'by_class']
    described: dict[str, Any] = dict(type=type(proposer).__name__)
    if isinstance(proposer, CentreOffsetProposer):
        options += ['head', 'threshold', 'window', 'max_centres']
    elif isinstance(proposer, BorderWatershed):
        options += ['borders', 'threshold', 'min_seed', 'across_groups']
    else:
        splitter = proposer.splitter
        described['by_name'] = proposer.by_name is not None  # components of the names of pixels
        described['necks'] = splitter and {key: getattr(splitter, key) for key in ('neck_ratio', 'min_area')}
    return dict(described, **{key: getattr(proposer, key) for key in options})
