"""A network whose answers are known by hand, and its page."""

import cv2
import numpy as np
import pytest

from deepunetto_mm.datasets.picture_losses import losses_of_reading
from deepunetto_mm.runtime import Prediction
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.picture_files import read_picture
from deepunetto_mm.utils.region_maps import connected_regions
from deepunetto_mm.visualization.label_names import LabelNames

TAXONOMY = dict(
    classes=['background', 'bead', 'rod'],
    groups=[
        dict(name='bead', members=['bead'], fine_classes=['red bead', 'blue bead']),
        dict(name='rod', members=['rod'], fine_classes=['rod']),
    ],
)


class ColourModel:
    """Red and blue is a bead, with a score of 0.75 for its name; green is a rod."""

    title = 'colours'

    def __init__(self, **taxonomy):
        self.taxonomy = Taxonomy.from_dict({**TAXONOMY, **taxonomy})
        self.names = LabelNames.from_meta(dict(taxonomy=self.taxonomy.to_dict()))

    def read(self, path):
        picture = read_picture(path)
        return picture, losses_of_reading(str(path), picture, None, with_masks=False)

    def predict(self, picture):
        blue, green, red = (picture[..., channel] > 100 for channel in range(3))
        labels = np.select([red | blue, green], [1, 2]).astype(np.int32)
        table = connected_regions(labels, self.taxonomy.group_of_class)
        scores = np.zeros((len(table), 3), np.float32)
        for row, number in enumerate(table.ids):
            is_red = red[table.region_map == number].all()
            scores[row] = [0, 0, 1] if table.labels[row] else [0.75, 0.25, 0] if is_red else [0.25, 0.75, 0]
        regions = dict(ids=table.ids, labels=table.labels, bboxes=table.bboxes, areas=table.areas)
        regions.update(scores=np.where(table.labels == 1, 0.875, 0.5), fine_scores=scores, fine_labels=scores.argmax(1))
        return Prediction(labels, None, table.region_map, regions)


@pytest.fixture
def picture():
    """8x6 pixels: a red bead of 2x2, 4 pixels, and a rod of 3x1; BGR."""
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[1:3, 1:3, 2] = 200
    picture[4, 4:7, 1] = 200
    return picture


@pytest.fixture
def png():
    return lambda values, suffix='.png': cv2.imencode(suffix, values)[1].tobytes()


@pytest.fixture
def make_model():
    return ColourModel
