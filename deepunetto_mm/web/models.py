"""A trained and an exported network, asked in the same way."""

from pathlib import Path
from typing import Protocol, Sequence, Union

import numpy as np

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets.picture_losses import losses_of_reading
from deepunetto_mm.runtime import OnnxPredictor, Prediction
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError, UsageError
from deepunetto_mm.utils.picture_files import read_picture
from deepunetto_mm.visualization.label_names import LabelNames


class Model(Protocol):
    """What the page asks of a network.

    Attributes:
        title: A name to show.
        taxonomy: Its taxonomy.
        names: Names and colours of its classes.
    """

    title: str
    taxonomy: Taxonomy
    names: LabelNames

    def read(self, path: Path) -> tuple[np.ndarray, Sequence[DataError]]:
        """The picture of a file as the network gets it, (H, W, 3) uint8 BGR, and what was lost."""

    def predict(self, picture: np.ndarray) -> Prediction:
        """Maps and regions of a picture."""


class TrainedModel:
    """A config with its checkpoint, or a model by name.

    Args:
        inferencer: The network.
        title: A name to show.

    Raises:
        UsageError: If the network proposes no regions.
    """

    def __init__(self, inferencer: DeepUNettoInferencer, title: str) -> None:
        if not inferencer.model.with_regions:
            raise UsageError(f'{title}: the network has no region_proposer, and the page shows regions; use another')
        self.inferencer = inferencer
        self.title = title
        self.taxonomy = inferencer.taxonomy
        self.names = LabelNames.from_meta(inferencer.visualizer.dataset_meta)

    def read(self, path: Path) -> tuple[np.ndarray, Sequence[DataError]]:
        """As the test pipeline of the config loads it."""
        return self.inferencer.read(path)

    def predict(self, picture: np.ndarray) -> Prediction:
        """As by the inferencer."""
        (sample,) = self.inferencer(picture, return_datasamples=True)
        labels, composed, region_map = (
            sample.get(key).data[0].numpy() for key in ('pred_sem_seg', 'pred_fine_seg', 'pred_region_map')
        )
        return Prediction(labels, composed, region_map, dict(sample.pred_regions.numpy().items()))


class ExportedModel:
    """A folder of ``tools/deployment/export.py``.

    Args:
        folder: The folder.

    Raises:
        UsageError: If the network proposes no regions.
    """

    def __init__(self, folder: Union[str, Path]) -> None:
        self._predictor = OnnxPredictor(folder)
        self.title = Path(folder).resolve().name
        description = self._predictor.model
        if description['proposer'] is None:
            raise UsageError(f'{folder}: the network has no region_proposer, and the page shows regions; use another')
        self.taxonomy = self._predictor.taxonomy
        self.names = LabelNames.from_meta(
            {key: description.get(key) for key in ('taxonomy', 'palette', 'fine_palette')}
        )

    def read(self, path: Path) -> tuple[np.ndarray, Sequence[DataError]]:
        """As the runtime reads it: 8 bits of blue, green and red, turned by its EXIF orientation."""
        picture = read_picture(path)
        return picture, losses_of_reading(str(path), picture, None, with_masks=False)

    def predict(self, picture: np.ndarray) -> Prediction:
        """As by the runtime."""
        return self._predictor.predict(picture)
