"""The neck of :mod:`deepunetto_mm.models.fine`, where configs in pure Python import it from."""

from deepunetto_mm.models.fine import MaskGuidedRoICrop

__all__ = ['MaskGuidedRoICrop']
