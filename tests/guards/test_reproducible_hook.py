"""A resumed run is the run that was not interrupted."""

import json
import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import BatchSampler, Dataset, IterableDataset

from deepunetto_mm.guards import ReproducibleHook

STEPS, INTERRUPTED = 9, 5  # three epochs of three batches; the second epoch is cut off
ADAM, COSINE = dict(type='Adam', lr=0.1), dict(type='CosineAnnealingLR', T_max=STEPS, by_epoch=False)


class Draws(Dataset):
    """What each of the global generators draws, and the index."""

    def __init__(self, length=6):
        self.length = length
        self.loaded = 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.loaded += 1
        return dict(inputs=torch.tensor([index, random.random(), np.random.rand(), torch.rand(())]))


class Numbers(Draws):
    """The same in each validation."""

    def __getitem__(self, index):
        return dict(inputs=torch.full((4,), float(index)))


class Model(BaseModel):
    """A regression with dropout, that remembers what it has seen."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.seen = []

    def forward(self, inputs, mode='loss'):
        if mode == 'predict':
            return list(self.linear(inputs))
        self.seen.append(inputs)
        return dict(loss=nn.functional.dropout(self.linear(inputs), 0.5).square().mean())


class Mean(BaseMetric):
    """The mean of what the network predicts."""

    default_prefix = 'own'

    def process(self, data_batch, data_samples):
        self.results += [sample.item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results))


class Stop(Hook):
    def __init__(self, at):
        self.at = at

    def after_train_iter(self, runner, *_, **__):
        if runner.iter + 1 == self.at:
            raise KeyboardInterrupt


def _train(
    work_dir,
    loop='iter',
    num_workers=0,
    persistent=False,
    hook=True,
    seed=0,
    stop=None,
    resume=False,
    hooks=(),
    length=6,
    sampler=None,
    saved_by=None,
    batch_size=2,
    optimizer=ADAM,
    schedule=COSINE,
    accumulative_counts=1,
    validation=None,
    **loader,
):
    """Train the regression, up to the iteration ``stop`` if it is given; the runner as it ended."""
    persistent_workers = dict(persistent_workers=persistent) if num_workers else {}
    by_epoch = loop == 'epoch'
    torch.manual_seed(0)  # the weights are there before the Runner seeds
    evaluated = {}
    if validation is not None:
        data = dict(batch_size=3, dataset=Numbers(), collate_fn=dict(type='default_collate'))
        data['sampler'] = dict(type='DefaultSampler', shuffle=False)
        evaluated = dict(val_dataloader=data, val_cfg=dict(), val_evaluator=Evaluator([Mean()]))
    sampler = dict(type=sampler or ('DefaultSampler' if by_epoch else 'InfiniteSampler'), shuffle=True)
    collate = dict(type='default_collate')
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=batch_size,
            dataset=Draws(length),
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=collate,
            **persistent_workers,
            **loader,
        ),
        train_cfg=dict(
            by_epoch=by_epoch, **(dict(max_epochs=3) if by_epoch else dict(max_iters=STEPS)), **(validation or {})
        ),
        **evaluated,
        optim_wrapper=dict(optimizer=dict(optimizer), accumulative_counts=accumulative_counts),
        param_scheduler=schedule,
        custom_hooks=[
            dict(type='EMAHook'),
            *([ReproducibleHook()] if hook else []),
            *([Stop(stop)] if stop else []),
            *hooks,
        ],
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook',
                interval=1,
                by_epoch=(saved_by or loop) == 'epoch',
                **(dict(save_best='own/mean', rule='greater') if evaluated else {}),
            ),
            logger=dict(type='LoggerHook', interval=2, log_metric_by_epoch=by_epoch),
        ),
        log_processor=dict(by_epoch=by_epoch),
        randomness=dict(seed=seed),
        resume=resume,
        experiment_name=f'{work_dir}{stop}{resume}'.replace('/', '_'),
    )
    try:
        runner.train()
    except KeyboardInterrupt:
        assert stop or hooks
    return runner


def _state(runner):
    """All that the next step would depend on."""
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    return dict(
        model=runner.model.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        schedule=[(scheduler.last_step, scheduler.get_last_value()) for scheduler in runner.param_schedulers],
        ema=ema.ema_model.state_dict(),
    )


def _seen(*runners):
    return torch.cat([batch for runner in runners for batch in runner.model.seen]).reshape(-1, 2, 4)


def _losses(work_dir):
    """Logged losses by step."""
    lines = [line for path in sorted(work_dir.rglob('scalars.json')) for line in path.read_text().splitlines()]
    entries = [entry for entry in map(json.loads, lines) if 'loss' in entry]
    return {
        entry['step']: {key: value for key, value in entry.items() if 'loss' in key or key in ('lr', 'grad_norm')}
        for entry in entries
    }


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    """The run without workers, by kind of loop."""
    return lru_cache(lambda loop: _train(tmp_path_factory.mktemp(loop), loop))


def _equal(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def _equal_runs(resumed, whole):
    _equal(_state(resumed), _state(whole))
    losses = _losses(Path(whole.work_dir))
    assert list(losses)[-1] >= STEPS - 1
    assert _losses(Path(resumed.work_dir)) == losses


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
@pytest.mark.parametrize(
    ('num_workers', 'persistent'), [(0, False), (2, False), (2, True)], ids=['0', '2', '2 persistent']
)
def test_resumed_equals_uninterrupted(uninterrupted, tmp_path, loop, num_workers, persistent):
    options = dict(loop=loop, num_workers=num_workers, persistent=persistent)
    first = _train(tmp_path, **options, stop=INTERRUPTED)
    second = _train(tmp_path, **options, resume=True)
    # Without workers in the other run: their number changes nothing.
    whole = uninterrupted(loop)
    _equal_runs(second, whole)
    resumed_at = 3 if loop == 'epoch' else INTERRUPTED - 1  # the checkpoint of the step that was cut off is not there
    assert len(first.model.seen) == INTERRUPTED
    _equal(_seen(second), _seen(whole)[resumed_at:])
    _equal(_seen(first), _seen(whole)[:INTERRUPTED])


@pytest.mark.parametrize('num_workers', [0, 2])
def test_an_epoch_goes_on_where_it_was_cut_off(tmp_path, num_workers):
    """Behind its first batch, its last but one, or its last, which has a single sample."""
    options = dict(loop='epoch', length=5, saved_by='iter')
    whole = _train(tmp_path / 'whole', **options)
    options.update(num_workers=num_workers)
    for stop in (6, 8) if num_workers else (2, 5, 6, 7, 8):
        parts = tmp_path / f'parts{stop}'
        _train(parts, **options, stop=stop)
        second = _train(parts, **options, resume=True)
        assert second.iter == STEPS
        _equal_runs(second, whole)
        if not num_workers:
            assert second.train_dataloader.dataset.loaded == sum(map(len, second.model.seen))


def test_an_epoch_that_is_cut_off_twice(tmp_path):
    options = dict(loop='epoch', length=8, saved_by='iter', batch_size=1)
    whole = _train(tmp_path / 'whole', **options)
    _train(tmp_path / 'parts', **options, stop=4)
    _train(tmp_path / 'parts', **options, stop=7, resume=True)
    second = _train(tmp_path / 'parts', **options, resume=True)
    _equal_runs(second, whole)


class Triples(BatchSampler):
    """Whose batches need not be of a size that it tells."""


def test_own_batches(tmp_path):
    options = dict(loop='epoch', batch_sampler=dict(type=Triples, drop_last=False))
    whole = _train(tmp_path / 'whole', **options)
    _train(tmp_path / 'parts', **options, stop=INTERRUPTED)
    _equal_runs(_train(tmp_path / 'parts', **options, resume=True), whole)
    _train(tmp_path / 'within', **options, saved_by='iter', stop=INTERRUPTED)
    with pytest.raises(ValueError, match='within an epoch, and with Triples as the batch_sampler'):
        _train(tmp_path / 'within', **options, resume=True)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_iterations_over_a_sampler_that_ends(tmp_path, monkeypatch, num_workers):
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # mmengine waits between epochs
    options = dict(sampler='DefaultSampler', num_workers=num_workers)
    whole = _train(tmp_path / 'whole', sampler='DefaultSampler')
    _train(tmp_path / 'parts', **options, stop=INTERRUPTED)
    _equal_runs(_train(tmp_path / 'parts', **options, resume=True), whole)


@pytest.mark.skipif(not hasattr(InfiniteSampler, 'skip'), reason='mmengine up to 0.10.7 loads again what it skips')
def test_what_was_seen_is_not_loaded_again(tmp_path):
    _train(tmp_path, stop=INTERRUPTED)
    second = _train(tmp_path, resume=True)
    assert second.train_dataloader.dataset.loaded == 2 * (STEPS - (INTERRUPTED - 1))


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_a_seed_that_was_drawn(tmp_path, loop):
    """mmengine takes the checkpoint's for its own, but another for the order of the pictures."""
    first = _train(tmp_path / 'parts', loop, seed=None, stop=INTERRUPTED)
    second = _train(tmp_path / 'parts', loop, seed=None, resume=True)
    assert second.seed == first.seed
    whole = _train(tmp_path / 'whole', loop, seed=first.seed)
    _equal(_seen(second), _seen(whole)[3 if loop == 'epoch' else INTERRUPTED - 1 :])


@pytest.mark.extended
def test_plain_mmengine_draws_the_first_numbers_again(tmp_path):
    whole = _train(tmp_path / 'whole', hook=False)
    _train(tmp_path / 'parts', hook=False, stop=INTERRUPTED)
    second = _train(tmp_path / 'parts', hook=False, resume=True)
    seen = _seen(second)
    _equal(seen[..., 0], _seen(whole)[INTERRUPTED - 1 :, :, 0])  # the pictures are the right ones, ...
    assert not torch.equal(seen[..., 1:], _seen(whole)[INTERRUPTED - 1 :, :, 1:])  # ... and nothing else is
    assert not torch.equal(second.model.linear.weight, whole.model.linear.weight)


@pytest.mark.extended
def test_plain_mmengine_begins_the_epoch_anew(tmp_path):
    options = dict(loop='epoch', saved_by='iter', hook=False)
    _train(tmp_path, **options, stop=INTERRUPTED)
    assert _train(tmp_path, **options, resume=True).iter == STEPS + 1


def test_augmentations_differ_from_epoch_to_epoch(uninterrupted, tmp_path):
    for loop in ('epoch', 'iter'):
        draws = _seen(uninterrupted(loop)).flatten(0, 1)
        assert [sorted(part) for part in draws[:, 0].reshape(3, 6).tolist()] == [[0, 1, 2, 3, 4, 5]] * 3
        for column in (1, 2, 3):
            assert len(set(draws[:, column].tolist())) == 18
    # mmengine's do not where its workers begin anew each epoch.
    plain = _seen(_train(tmp_path, 'epoch', num_workers=2, hook=False)).flatten(0, 1)
    assert len(set(plain[:, 2].tolist())) == 6


def test_the_seed_decides(uninterrupted, tmp_path):
    _equal(_state(_train(tmp_path / 'same')), _state(uninterrupted('iter')))
    other = _train(tmp_path / 'other', seed=1)
    assert not set(_seen(other)[..., 1].flatten().tolist()) & set(
        _seen(uninterrupted('iter'))[..., 1].flatten().tolist()
    )


def test_processes_draw_different_numbers(uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr('deepunetto_mm.guards.reproducible_hook.get_rank', lambda: 1)
    other = _seen(_train(tmp_path))
    assert torch.equal(other[..., 0], _seen(uninterrupted('iter'))[..., 0])  # it is alone after all
    assert not set(other[..., 1].flatten().tolist()) & set(_seen(uninterrupted('iter'))[..., 1].flatten().tolist())


class Noise(Hook):
    """Draws, as a validation or another hook might."""

    def after_train_iter(self, *_, **__):
        torch.rand(3)
        np.random.rand(3)
        random.random()


def test_what_others_draw_changes_nothing(uninterrupted, tmp_path):
    _equal(_state(_train(tmp_path, hooks=[Noise()])), _state(uninterrupted('iter')))


class StopInValidation(Hook):
    """Before a validation has a figure, or when all hooks have it."""

    priority = 'LOWEST'

    def __init__(self, at, stage):
        setattr(self, stage, lambda runner, *_, **__: self.stop(runner.iter == at))

    def stop(self, now):
        if now:
            raise KeyboardInterrupt


def _scores(work_dir):
    """Figures of the validations in the order of their logs."""
    lines = [line for path in sorted(work_dir.rglob('scalars.json')) for line in path.read_text().splitlines()]
    return [(entry['step'], entry['own/mean']) for entry in map(json.loads, lines) if 'own/mean' in entry]


@pytest.mark.parametrize('stage', ['before_val_epoch', 'after_val_epoch'])
@pytest.mark.parametrize(
    ('loop', 'validation', 'stops'),
    [('epoch', {}, (6, 9)), ('iter', dict(val_interval=4, dynamic_intervals=[(5, 2)]), (6, 9))],
    ids=['epoch', 'iter'],
)
def test_a_validation_that_was_cut_off_is_made_up_for(tmp_path, loop, validation, stops, stage):
    options = dict(loop=loop, validation=validation)
    whole = _train(tmp_path / 'whole', **options)
    scores = _scores(tmp_path / 'whole')
    assert len(scores) == dict(epoch=3, iter=4)[loop]
    best = {path.name for path in (tmp_path / 'whole').glob('best*')}
    for stop in stops:
        parts = tmp_path / f'parts{stop}'
        _train(parts, **options, hooks=[StopInValidation(stop, stage)])
        resumed = _train(parts, **options, resume=True)
        _equal_runs(resumed, whole)
        assert list(dict(_scores(parts)).items()) == scores
        assert len(_scores(parts)) <= len(scores) + (stage == 'after_val_epoch')
        assert {path.name for path in parts.glob('best*')} == best


def test_what_was_not_to_be_validated_is_not_when_it_is_resumed(tmp_path):
    for name, options in dict(
        within=dict(loop='epoch', saved_by='iter', validation={}, stop=5),
        between=dict(loop='iter', validation=dict(val_interval=3), stop=6),
        early=dict(loop='epoch', validation=dict(val_begin=2), stop=5),
    ).items():
        _train(tmp_path / name, **options)
        before = _scores(tmp_path / name)
        _train(tmp_path / name, **options, resume=True)
        assert _scores(tmp_path / name) == before


def test_a_run_that_is_complete_is_not_validated_again_but_without_its_note(tmp_path):
    options = dict(loop='epoch', validation={})
    _train(tmp_path, **options)
    scores = _scores(tmp_path)
    _train(tmp_path, **options, resume=True)
    assert _scores(tmp_path) == scores
    (tmp_path / 'last_validation').unlink()
    _train(tmp_path, **options, resume=True)
    assert _scores(tmp_path) == [*scores, scores[-1]]
    _train(tmp_path, loop='epoch', validation=dict(val_begin=4))  # anew, and never validated
    assert not (tmp_path / 'last_validation').exists()


def test_data_without_indices(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            yield torch.zeros(4)

    runner = type('Runner', (), {})()
    runner.train_loop = type('Loop', (), dict(dataloader=torch.utils.data.DataLoader(Stream())))()
    with pytest.raises(ValueError, match='IterableDataset'):
        ReproducibleHook().before_train(runner)


@pytest.fixture(scope='module')
def grid(load_module):
    return load_module('tests/data/resume_grid.py')


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
def test_a_deepunetto_that_is_resumed(grid, tmp_path, loop):
    """Augmentation in workers, dropout, jittered boxes, sampled regions, averaged weights, validation."""
    whole = grid.train(tmp_path / 'whole', loop)
    grid.train(tmp_path / 'parts', loop, num_workers=2, cut_off=True)
    resumed = grid.train(tmp_path / 'parts', loop, num_workers=2, resume=True)
    assert grid.differences(resumed, whole) == []
    assert grid.differences(grid.logged(tmp_path / 'parts'), grid.logged(tmp_path / 'whole')) == []
    assert set(grid.logged(tmp_path / 'whole')) >= {1, 2, 3, 4, 5, 6}


def test_the_comparison_sees_a_bit(grid):
    assert grid.differences(dict(a=[torch.zeros(2), float('nan')]), dict(a=[torch.zeros(2), float('nan')])) == []
    assert grid.differences(dict(a=[torch.zeros(2), 1]), dict(a=[torch.tensor([0, 1e-45]), 1])) == ['a.0']
    assert grid.differences(dict(a=1), dict(b=1)) == ['']


def _warnings(work_dir, **options):
    """What a run is warned of, and the runner."""
    lines: list = []

    class Listen(Hook):
        priority = 'HIGHEST'

        def before_run(self, runner):
            runner.logger.addFilter(lambda record: lines.append(record) or True)

    runner = _train(work_dir, hooks=[Listen()], **options)
    return [line.getMessage() for line in lines if line.levelname == 'WARNING'], runner


def _warned(work_dir, **options):
    """What a resumed run is warned of, and the learning rate that it begins with."""
    texts, runner = _warnings(work_dir, resume=True, **options)
    (group,) = runner.optim_wrapper.param_groups
    return [text for text in texts if 'keep the settings' in text], group.get('initial_lr', group['lr'])


def test_settings_that_a_resumed_run_does_not_follow_are_told(tmp_path):
    _train(tmp_path, stop=INTERRUPTED)
    assert _warned(tmp_path, stop=INTERRUPTED + 1) == ([], 0.1)
    changed = dict(
        optimizer=dict(type='Adam', lr=0.001, weight_decay=0.5),
        schedule=dict(type='CosineAnnealingLR', T_max=4, by_epoch=False),
    )
    (text,), rate = _warned(tmp_path, stop=INTERRUPTED + 2, **changed)
    assert rate == 0.1
    for difference in (
        'lr 0.1 (config: 0.001)',
        'weight_decay 0 (config: 0.5)',
        'schedule of lr: T_max 9 (config: 4)',
    ):
        assert difference in text
    assert 'take only the weights: load_from=CHECKPOINT without resume' in text


def test_checkpoints_within_a_step_of_several_batches_are_told_once(tmp_path):
    """Epochs have three batches: the first checkpoint is behind the first half of the second step."""
    told = {}
    for counts in (1, 2, 3):
        texts, _ = _warnings(tmp_path / str(counts), loop='epoch', accumulative_counts=counts)
        told[counts] = [text for text in texts if 'accumul' in text]
    assert (told[1], told[3]) == ([], [])
    (text,) = told[2]
    assert text.startswith('the checkpoint of iteration 3 is from within a step of accumulated gradients')


def test_a_schedule_more_or_less_is_told(tmp_path):
    steps = dict(type='MultiStepLR', milestones=[3, 6], by_epoch=False)
    _train(tmp_path, stop=INTERRUPTED, schedule=[steps])
    (text,), _ = _warned(tmp_path, stop=INTERRUPTED + 1, schedule=[dict(steps, milestones=[4]), steps])
    assert '1 schedules in the checkpoint (2 in the config)' in text
    assert 'schedule of lr: milestones [3, 6] (config: [4])' in text
    assert 'schedules in' in _warned(tmp_path, stop=INTERRUPTED + 2, schedule=None)[0][0]
