"""Heads that name regions."""

from .fine_grained_head import FineGrainedHead

__all__ = ['FineGrainedHead']
