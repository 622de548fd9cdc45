"""Pictures of several sizes in a batch, which training would refuse later."""

import re

import numpy as np
import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.verification.dataset_check import check_sample, verify_datasets


@pytest.fixture
def sized(config, root, blood):
    """Pictures of 16x12 and 8x6 pixels, and the config of a model that pads to a size."""
    picture = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    blood['write'](root, 'images/train/a.jpg', picture)
    blood['write'](root, 'masks/train/a.png', blood['MASK'].repeat(2, 0).repeat(2, 1))

    def build(batch_size=2, extra=(), **preprocessor):
        cfg = config()
        cfg.train_dataloader.batch_size = batch_size
        cfg.train_dataloader.dataset.pipeline[-1:-1] = list(extra)
        cfg.model = dict(data_preprocessor=dict(type='SegDataPreProcessor', **preprocessor))
        return cfg

    return build


def test_pictures_that_cannot_be_in_one_batch_are_told(sized, root):
    cfg = sized(size=(6, 8))
    report = verify_datasets(cfg)
    found = [item for part in report.splits for item in part.findings] + report.findings
    (error,) = (item for item in found if item.kind == 'sizes of a batch')
    assert error.level == 'error'
    message = (
        rf'{root}/images/train/\w\.jpg and {root}/images/train/\w\.jpg cannot be in one batch: .* '
        r'data_preprocessor.size=\(6, 8\), they are (8x6 and 16x12|16x12 and 8x6) pixels.*RandomCrop'
    )
    assert re.match(message, error.message)
    state = np.random.get_state()[1].tolist()
    with pytest.raises(DataError, match=message):
        check_sample(cfg)
    assert np.random.get_state()[1].tolist() == state


def test_pictures_that_are_resized_by_chance_are_told(config):
    cfg = config()
    cfg.train_dataloader.batch_size = 2
    resize = dict(type='RandomResize', scale=(32, 24), ratio_range=(0.5, 2.0), keep_ratio=True)
    cfg.train_dataloader.dataset.pipeline[-1:-1] = [resize]
    cfg.model = dict(data_preprocessor=dict(type='SegDataPreProcessor', size=(6, 8)))
    with pytest.raises(DataError, match='cannot be in one batch'):
        check_sample(cfg)


@pytest.mark.parametrize(
    'options',
    [
        dict(size=(12, 16)),
        dict(size_divisor=32),
        dict(size=(6, 8), batch_size=1),
        dict(size=(6, 8), extra=[dict(type='RandomCrop', crop_size=(6, 8))]),
        dict(size=(6, 8), extra=[dict(type='Resize', scale=(20, 20), keep_ratio=False)]),
    ],
)
def test_pictures_that_are_made_equal_can_be_in_one_batch(sized, options):
    assert 'data checked' in check_sample(sized(**options))
