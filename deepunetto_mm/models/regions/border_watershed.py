"""Regions that are cut along predicted borders."""

from importlib.util import find_spec
from typing import Any, Callable, Optional, Sequence, Union

import numpy as np

from deepunetto_mm.models.regions.connected_components_proposer import ConnectedComponentsProposer
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps
from deepunetto_mm.utils.necks import cut_at_borders


@MODELS.register_module()
class BorderWatershed(ConnectedComponentsProposer):
    """Connected components, cut along the borders that a :class:`BorderHead` paints: the U-Net paper's own answer.

    The seeds of a component are the connected parts (4 neighbours) that are left without its border pixels. Then a
    watershed on the probability of a border gives each pixel of the component, border pixels too, to a seed. A
    component with fewer than two seeds stays whole.

    It cuts wherever a border was learned, also where the outline shows no neck. A gap in a border, as narrow as one
    pixel, joins two objects.

    Args:
        taxonomy: The taxonomy or its dict.
        borders: Name of the map: one channel, whose sigmoid is the probability of a border.
        threshold: Pixels with a higher probability are border pixels.
        min_seed: Seeds of fewer pixels are left out.
        connectivity, min_area, max_regions, backend, by_class: As in :class:`ConnectedComponentsProposer`. Parts below
            ``min_area`` are given to their neighbours, the smallest first.
        across_groups: Components of all groups together, so that borders alone say what an object is: a coat that the
            segmentation paints as a coat and a dress by halves is one object, and gets its name, and with it its
            group, as one. Until then its group is that of most of its pixels. Parts below the least ``min_area`` of all
            groups are given to their neighbours. Not with ``by_class``.

    Raises:
        ValueError: If an option is wrong, or scikit-image is not installed; in a prediction, if the map of borders has
            several channels.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        borders: str = 'borders.logits',
        threshold: float = 0.5,
        min_seed: int = 1,
        connectivity: int = 8,
        min_area: Union[int, Sequence[int]] = 1,
        max_regions: Optional[int] = None,
        backend: Optional[str] = None,
        by_class: bool = False,
        across_groups: bool = False,
    ) -> None:
        if not 0 < threshold < 1 or min_seed < 1:
            raise ValueError(
                f'BorderWatershed: threshold is above 0 and below 1, and min_seed at least 1, got {threshold} and '
                f'{min_seed}'
            )
        if not find_spec('skimage'):
            raise ValueError('BorderWatershed needs the package scikit-image: install it, or take components')
        self.across_groups = across_groups
        super().__init__(taxonomy, connectivity, min_area, max_regions, backend, by_class)
        self.borders = borders
        self.reads = (borders,)
        self.threshold = threshold
        self.min_seed = min_seed

    def _splitter_of(self, maps: Maps, picture: int) -> Callable[[np.ndarray, Any, int], np.ndarray]:
        borders = maps[self.borders]
        if borders.shape[1] != 1:
            raise ValueError(
                f'BorderWatershed: borders={self.borders!r} has {borders.shape[1]} channels; a border is one, as a '
                'BorderHead paints it'
            )
        border = borders[picture, 0].float().cpu().numpy()

        def split(mask: np.ndarray, window: Any, least: int) -> np.ndarray:
            return cut_at_borders(mask, border[window], self.threshold, self.min_seed, least)

        return split
