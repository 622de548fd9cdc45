"""Region proposers: label maps to regions, and what parts touching objects."""

from .connected_components_proposer import ConnectedComponentsProposer
from .distance_watershed import DistanceWatershed

__all__ = ['ConnectedComponentsProposer', 'DistanceWatershed']
