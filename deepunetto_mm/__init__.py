"""DeepUNetto: segment generically, crop by the mask, name specifically, in one network."""

from .version import __version__

__all__ = ['__version__']
