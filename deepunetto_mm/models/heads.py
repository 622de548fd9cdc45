"""The heads of :mod:`deepunetto_mm.models.fine`, where configs in pure Python import them from."""

from deepunetto_mm.models.fine import FineClsHead, FineGrainedHead, HierarchicalClsHead

__all__ = ['FineClsHead', 'FineGrainedHead', 'HierarchicalClsHead']
