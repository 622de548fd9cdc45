import pytest
from mmengine.config import Config

from deepunetto_mm.planning.config_text import _code, _comment, fold_text


def test_a_fold_is_the_plan_with_other_pictures(tmp_path):
    loaders = [
        'train_dataloader = dict(batch_size=4)',
        'val_dataloader = dict(batch_size=1)',
        'test_dataloader = val_dataloader',
    ]
    (tmp_path / 'mine.py').write_text('\n'.join(loaders))
    (tmp_path / 'fold.py').write_text(fold_text('mine', 2, 5))
    cfg = Config.fromfile(tmp_path / 'fold.py')
    assert cfg.train_dataloader == dict(batch_size=4, dataset=dict(ann_file='train_fold2.txt'))
    assert cfg.val_dataloader == cfg.test_dataloader == dict(batch_size=1, dataset=dict(ann_file='val_fold2.txt'))


@pytest.mark.parametrize(
    'value',
    [
        dict(type='X', scale=(1, 2), names=['a', "it's"], nothing=None, share=0.25),
        [dict(type='Step', number=i, text='long enough to need a line of its own') for i in range(4)],
        {},
        [],
    ],
)
def test_code_means_the_value_and_fits_the_line(value):
    text = _code(value, 0)
    assert eval(text) == value
    assert max(map(len, text.splitlines())) <= 120


def test_every_line_of_a_comment_is_one():
    lines = _comment('word ' * 60).splitlines()
    assert len(lines) > 1
    assert all(line.startswith('# ') and len(line) <= 120 for line in lines)
