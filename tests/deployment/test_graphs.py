"""What graphs do on their own."""

import numpy as np
import pytest
import torch

from deepunetto_mm.datasets.transforms import ChromaticAdaptation
from deepunetto_mm.deployment.graphs import adapted


@pytest.mark.parametrize('percentile', [50.0, 95.0, 100.0])
def test_the_adaptation_is_the_transforms(percentile):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, high, (7, 9, 3), dtype=np.uint8) for high in (1, 2, 40, 200, 256)]
    pictures.append(np.arange(256, dtype=np.uint8).repeat(3)[: 7 * 9 * 3].reshape(7, 9, 3))
    found = adapted(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), percentile)
    for picture, planes in zip(pictures, found):
        expected = ChromaticAdaptation(percentile).transform(dict(img=picture))['img']
        np.testing.assert_array_equal(planes.permute(1, 2, 0), expected)
