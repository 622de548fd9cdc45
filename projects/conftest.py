"""What the tests of the projects share: a few steps of a config, as somebody runs it who has the package alone."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

# Of configs over the generated data: a step takes a fraction of a second.
_SCENES = dict(num_scenes=4, size=(64, 64))


class Run(NamedTuple):
    """What came of it."""

    losses: dict[str, list[float]]  # by name, as logged at each step
    figures: dict[str, float]  # of the test
    samples: list[Any]  # data samples of the first test batch, predicted
    model: Any


@pytest.fixture
def train_and_test(tmp_path, monkeypatch) -> Callable[..., Run]:
    """``train_and_test(path, {dotted key: value, ...})`` trains for 2 steps and tests, in a folder of its own.

    The config is written there in one piece, as nothing but the package may be needed. Every parameter that wants a
    gradient must get a finite one, and every loss must be finite.
    """

    def run(path: Any, options: dict | None = None) -> Run:
        cfg = Config.fromfile(path)
        assert cfg.default_scope in ('mmseg', 'mmpretrain')
        assert 'deepunetto_mm' not in str(cfg.get('custom_imports'))
        cfg.merge_from_dict(options or {})
        for split in ('train', 'val', 'test'):
            loader = cfg[f'{split}_dataloader']
            loader.update(num_workers=0, persistent_workers=False, batch_size=2)
            if loader.dataset.type == 'deepunetto_mm.RodConeShapes':
                loader.dataset.update(_SCENES)
        if 'size' in cfg.model.data_preprocessor:
            cfg.model.data_preprocessor.size = _SCENES['size']
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
        cfg.update(work_dir='work_dirs', param_scheduler=[], log_processor=dict(by_epoch=False))
        cfg.default_hooks.update(logger=dict(type='LoggerHook', interval=1), checkpoint=None)
        cfg.visualizer = None
        cfg.default_hooks.pop('visualization', None)
        # Laying the config out would take longer than the steps.
        monkeypatch.setattr(Config, 'pretty_text', property(_plain_text))
        cfg.dump(tmp_path / 'my_config.py')
        monkeypatch.chdir(tmp_path)

        runner = Runner.from_cfg(Config.fromfile('my_config.py'))
        reached = set()

        def note(name: str) -> Callable[[torch.Tensor], None]:
            def hook(gradient: torch.Tensor) -> None:
                if torch.isfinite(gradient).all():
                    reached.add(name)

            return hook

        wanted = {name: p for name, p in runner.model.named_parameters() if p.requires_grad}
        for name, parameter in wanted.items():
            parameter.register_hook(note(name))
        runner.train()
        assert not set(wanted) - reached
        logged = runner.message_hub.log_scalars
        losses = {
            name.removeprefix('train/'): [float(value) for value in history.data[0]]
            for name, history in logged.items()
            if name.startswith('train/') and 'loss' in name
        }
        assert all(len(values) == 2 for values in losses.values())
        assert all(torch.isfinite(torch.tensor(values)).all() for values in losses.values())
        figures = runner.test()
        with torch.no_grad():
            samples = runner.model.test_step(next(iter(runner.test_dataloader)))
        return Run(losses, figures, samples, runner.model)

    return run


def _plain_text(cfg: Config) -> str:
    return '\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items())
