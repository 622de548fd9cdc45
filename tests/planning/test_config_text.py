from mmengine.config import Config

from deepunetto_mm.planning.config_text import fold_text


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
