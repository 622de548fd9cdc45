"""Checking the data of a config before training."""

from .dataset_check import SPLITS, check_sample, verify_datasets

__all__ = ['SPLITS', 'check_sample', 'verify_datasets']
