"""Region proposers: maps to regions, and what separates touching objects."""

from .border_watershed import BorderWatershed
from .connected_components_proposer import ConnectedComponentsProposer
from .distance_watershed import DistanceWatershed
from .region_proposer import RegionProposer

__all__ = ['BorderWatershed', 'ConnectedComponentsProposer', 'DistanceWatershed', 'RegionProposer']
