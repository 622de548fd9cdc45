"""docs/guards.md and docs/reliability.md: their settings are those of the configs here, or build what they say."""

import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import HOOKS, MODELS

from deepunetto_mm.apis import UnsafeCheckpointError
from deepunetto_mm.datasets import PackRegionInputs, RodConeShapes

GUARDS, RELIABILITY = 'docs/guards.md', 'docs/reliability.md'

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def settings(example):
    """``settings(page, word)``: those of the one example of the page that has the word."""
    return lambda page, word: Config.fromstring(example(page, word), '.py')


@pytest.mark.parametrize(
    ('page', 'word'),
    [(GUARDS, 'ReproducibleHook'), (RELIABILITY, 'AtomicCheckpointHook'), (RELIABILITY, 'LossExplosionHook')],
)
def test_the_hooks_are_those_of_the_configs(settings, repository, page, word):
    used = Config.fromfile(repository / 'configs/_base_/default_runtime.py').default_hooks
    hooks = settings(page, word).default_hooks
    assert word in str(hooks)
    for name, options in hooks.items():
        ours, theirs = HOOKS.build(options), HOOKS.build(used[name])
        assert type(ours) is type(theirs)
        if page == RELIABILITY:  # of the same options, too
            assert vars(ours) == vars(theirs)
    if page == GUARDS:
        checkpoint = HOOKS.build(hooks.checkpoint)
        assert (checkpoint.interval, checkpoint.max_keep_ckpts) == (1, 2)


@pytest.mark.parametrize('page', [GUARDS, RELIABILITY])
def test_skipping_bad_samples_is_only_in_the_example(settings, repository, page):
    (options,) = settings(page, 'SkipBadSamplesHook').custom_hooks
    hook = HOOKS.build(options)
    assert (type(hook).__name__, hook.limit) == ('SkipBadSamplesHook', 10)
    assert not [path for path in (repository / 'configs').rglob('*.py') if 'SkipBadSamples' in path.read_text()]


class _MakesAFolder:
    def __reduce__(self):
        return os.mkdir, ('ran',)


@pytest.mark.parametrize('page', [GUARDS, RELIABILITY])
def test_your_own_script_executes_no_checkpoint(example, tmp_path, monkeypatch, page):
    monkeypatch.chdir(tmp_path)
    for name, content in (('good', torch.ones(2)), ('bad', _MakesAFolder())):
        torch.save(content, f'{name}.pth')
    read = []

    def run(name):
        runner = SimpleNamespace(train=lambda: read.append(torch.load(f'{name}.pth', weights_only=False)))
        exec(example(page, 'with safe_loading'), dict(runner=runner))

    run('good')
    assert read[0].tolist() == [1, 1]
    with pytest.raises(UnsafeCheckpointError, match='mkdir'):
        run('bad')
    assert not (tmp_path / 'ran').exists()


def test_large_pictures_leave_no_logits(settings, config):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(model=settings(RELIABILITY, "mode='tile'").model.to_dict()))
    model = MODELS.build(cfg.model).eval()
    assert model.region_proposer.max_regions is None
    scene = RodConeShapes(num_scenes=1, seed=0, size=(64, 784))[0]  # of two tiles
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([PackRegionInputs()(scene)]))
    assert sample.pred_sem_seg.data.shape == sample.pred_region_map.data.shape == (1, 64, 784)
    assert 'seg_logits' not in sample
