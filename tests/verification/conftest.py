"""A small tree of data, and a config that reads it."""

import pytest


@pytest.fixture
def root(blood, tmp_path):
    blood['write_tree'](tmp_path)
    return tmp_path


@pytest.fixture
def config(blood, root):
    """Build the config of the tree, with changes to the datasets of both splits."""

    def build(**changes):
        parts = (blood['dataset'](root, split, **changes) for split in ('train', 'val'))
        return blood['config'](*parts)

    return build
