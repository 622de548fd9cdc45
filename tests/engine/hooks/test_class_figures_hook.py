"""Figures by class in scalars.json, and for hooks that look at figures."""

import json
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from deepunetto_mm.engine import ClassFiguresHook


@pytest.fixture
def run(repository, tmp_path, monkeypatch):
    """Two steps with a validation after each; the lines of scalars.json."""

    def train(**hook):
        # Laying the config out would take longer than the steps.
        monkeypatch.setattr(Config, 'pretty_text', property(lambda cfg: ''))
        cfg = Config.fromfile(repository / 'tests/data/tiny_config.py')
        for split in ('train', 'val', 'test'):
            cfg[f'{split}_dataloader'].persistent_workers = False
        cfg.work_dir = str(tmp_path)
        cfg.train_cfg.val_interval = 1
        cfg.default_hooks.checkpoint.update(save_best='composed/IoU/clutter', rule='greater')
        cfg.default_hooks.class_figures.update(hook)
        Runner.from_cfg(cfg).train()
        (path,) = tmp_path.glob('*/vis_data/scalars.json')
        return [json.loads(line) for line in path.read_text().splitlines()]

    return train


def test_figures_reach_the_backends_and_other_hooks(run, tmp_path, capsys):
    rows = [row for row in run() if 'composed/IoU/clutter' in row]
    assert [row['step'] for row in rows] == [1, 2]
    assert all(value == value for row in rows for value in row.values())  # none is NaN
    assert len(list(tmp_path.glob('best_composed_IoU_clutter_iter_*.pth'))) == 1
    assert 'composed/IoU/' not in capsys.readouterr().out.replace('best composed/IoU/clutter', '').replace(
        'composed/IoU/clutter at', ''
    )


def test_of_many_classes_the_backends_get_nothing(run):
    assert not [row for row in run(max_classes=12) if 'composed/IoU/clutter' in row]


def test_metrics_without_classes():
    evaluator = SimpleNamespace(metrics=[SimpleNamespace()])
    metrics = dict(mIoU=1.0)
    ClassFiguresHook().after_val_epoch(SimpleNamespace(val_loop=SimpleNamespace(evaluator=evaluator)), metrics)
    assert metrics == dict(mIoU=1.0)
