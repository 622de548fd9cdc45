"""Looking through the data of a config before anything is trained on it."""

from .dataset_check import SPLITS, check_sample, verify_datasets

__all__ = ['SPLITS', 'check_sample', 'verify_datasets']
