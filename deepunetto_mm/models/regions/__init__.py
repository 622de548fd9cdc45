"""Region proposers: label maps to regions."""

from .connected_components_proposer import ConnectedComponentsProposer

__all__ = ['ConnectedComponentsProposer']
