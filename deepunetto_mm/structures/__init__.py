"""Data structures shared by datasets, models, metrics and visualizers."""

from .taxonomy import Group, Taxonomy, TaxonomyError

__all__ = ['Group', 'Taxonomy', 'TaxonomyError']
