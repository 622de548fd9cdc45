"""Red blood cells around the annotated ones."""

import cv2
import numpy as np

from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.utils.transform import Transform


@TRANSFORMS.register_module()
class AddErythrocytes(Transform):
    """Draw red blood cells into the background of a stained smear.

    In most smears they surround the white cells, as dark as the cytoplasm; where they have been removed from the
    training pictures, a network takes them for cells. They are drawn as light passes them: ellipses that absorb, with a
    paler centre, all of one colour in a picture. Only pixels outside of every region change.

    Use it after ``LoadRegions``, and before pixels move or change their scale.

    Required keys: ``img`` (H, W, 3) uint8, channels in the order B, G, R; without ``gt_region_map`` (H, W) nothing is
    drawn. Modified keys: ``img``.

    Args:
        number: At most this number of them (the number is drawn uniformly); centres may lie outside of the picture.
        diameter: Smallest and largest diameter in pixels.
        prob: Probability that any are drawn.

    Raises:
        ValueError: If an option is out of range, or a picture is not of 8 bits and three channels.
    """

    def __init__(self, number: int = 12, diameter: tuple[float, float] = (36, 50), prob: float = 1.0) -> None:
        if number < 0 or not 0 <= prob <= 1 or not 0 < diameter[0] <= diameter[1]:
            raise ValueError(
                'AddErythrocytes: number must be at least 0, prob a probability, and diameter two numbers above 0 in '
                f'order, got number={number}, prob={prob} and diameter={diameter}'
            )
        self.number = number
        self.diameter = (diameter[0], diameter[1])
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Draw them into ``img``."""
        image = self.colours(results, 'load it')
        if 'gt_region_map' not in results or np.random.rand() >= self.prob:
            return results
        absorbed = self._draw(*image.shape[:2]) * (results['gt_region_map'] == 0)
        # Of B, G, R; green is absorbed most.
        colour = np.random.uniform((0.45, 0.40, 0.65), (0.80, 0.75, 0.95)).astype(np.float32)
        light = 1 - absorbed[..., None] * (1 - colour)
        results['img'] = np.rint(image * light).astype(np.uint8)
        return results

    def _draw(self, height: int, width: int) -> np.ndarray:
        """How much they absorb at each pixel, (H, W) float32 from 0 to 1."""
        absorbed = np.zeros((height, width), np.float32)
        pallor = np.random.uniform(0.0, 0.8)
        reach = self.diameter[1] / 2
        for _ in range(np.random.randint(self.number + 1)):
            centre = np.random.uniform((-reach, -reach), (width + reach, height + reach))
            axes = np.random.uniform(*self.diameter) / 2 * np.random.uniform(0.85, 1.0, 2)
            angle, strength = np.random.uniform(0, 180), np.random.uniform(0.8, 1.0)
            whole, core = np.zeros_like(absorbed), np.zeros_like(absorbed)
            for disc, size, blur in ((whole, 1.0, 1.0), (core, 0.5, axes[0] / 6)):
                cv2.ellipse(disc, (centre.tolist(), (2 * size * axes).tolist(), angle), 1.0, thickness=-1)
                cv2.GaussianBlur(disc, (0, 0), blur, dst=disc)
            absorbed = np.maximum(absorbed, strength * whole * (1 - pallor * core))
        return absorbed
