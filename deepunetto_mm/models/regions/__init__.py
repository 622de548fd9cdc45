"""Region proposers: maps to regions, and what separates touching objects."""

from .border_watershed import BorderWatershed
from .centre_offset_proposer import CentreOffsetProposer
from .connected_components_proposer import ConnectedComponentsProposer
from .distance_watershed import DistanceWatershed
from .region_proposer import RegionProposer

__all__ = [
    'BorderWatershed',
    'CentreOffsetProposer',
    'ConnectedComponentsProposer',
    'DistanceWatershed',
    'RegionProposer',
]
