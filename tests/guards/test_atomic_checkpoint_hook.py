"""Runs are killed while they save, and disks are full: what is left, beside what mmengine's own hook leaves."""

import itertools
import multiprocessing
import os
import random
import re
import select
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from deepunetto_mm.guards import AtomicCheckpointHook
from deepunetto_mm.guards.atomic_checkpoint_hook import write_atomically

KILLS = 25
NUMBERS = itertools.count()


class Counter(BaseModel):
    """Counts its steps, and fills megabytes."""

    def __init__(self, megabytes):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(megabytes, 512, 512))
        self.register_buffer('steps', torch.tensor(0))

    def forward(self, inputs):
        raise AssertionError('not to be called')

    def train_step(self, data, optim_wrapper):
        self.steps += 1
        return dict(loss=torch.tensor(1.0))

    def val_step(self, data):
        return [dict()]


class Score(BaseMetric):
    """Better after 1, 3 and 5 steps than ever before."""

    SCORES = {1: 1.0, 2: 0.0, 3: 5.0, 4: 2.0, 5: 6.0, 6: 1.0}

    def __init__(self, model):
        super().__init__()
        self.model = model

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(score=self.SCORES[int(self.model.steps)], loss=float(self.model.steps))


def make_runner(work_dir, hook, steps, by_epoch=False, val=False, megabytes=4, **options):
    hook = dict(type=hook, interval=1, by_epoch=by_epoch, max_keep_ckpts=1) | options
    model = Counter(megabytes)
    # In a loop by iterations, mmengine sleeps for two seconds whenever another sampler comes to its end.
    loader = DataLoader([0], sampler=None if by_epoch else InfiniteSampler([0]))
    loop = dict(by_epoch=True, max_epochs=steps) if by_epoch else dict(by_epoch=False, max_iters=steps)
    validation = dict(val_dataloader=DataLoader([0]), val_cfg=dict(), val_evaluator=[Score(model)]) if val else {}
    return Runner(
        model,
        str(work_dir),
        train_dataloader=loader,
        train_cfg=loop | dict(val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=hook, logger=None),
        log_level='ERROR',
        resume=True,
        experiment_name=f'run_{next(NUMBERS)}',  # runs of one name share what mmengine notes
        **validation,
    )


def saved(folder):
    names = [path.name for path in Path(folder).iterdir()]
    return sorted(name for name in names if name.endswith(('.pth', '.incomplete', 'last_checkpoint')))


def last_steps(folder):
    """Steps of the checkpoint that ``last_checkpoint`` names; None if there is none, or it does not load."""
    try:
        checkpoint = torch.load((folder / 'last_checkpoint').read_text(), weights_only=False)
    except (OSError, RuntimeError, EOFError):
        return None
    assert checkpoint['state_dict']['steps'] == checkpoint['meta']['iter']
    return checkpoint['meta']['iter']


def _train_and_announce(work_dir, hook, pipe):
    """Train until killed; the pipe gets a byte when a save begins, and another when it is over."""
    save = hook._save_checkpoint_with_step

    def announced(self, *args, **kwargs):
        os.write(pipe, b'(')
        save(self, *args, **kwargs)
        os.write(pipe, b')')

    hook._save_checkpoint_with_step = announced
    make_runner(work_dir, hook, steps=10**6).train()


def kill_in_third_save(work_dir, hook, delay):
    """Start or resume a run, and kill it in its third save, after ``delay`` times as long as the second took.

    Returns:
        Steps of the last complete checkpoint before the kill, or None if the save was over.
    """
    reading, writing = os.pipe()
    process = multiprocessing.get_context('fork').Process(target=_train_and_announce, args=(work_dir, hook, writing))
    process.start()
    os.close(writing)
    try:
        times = []
        for byte in b'()()(':
            assert select.select([reading], [], [], 60)[0]
            assert os.read(reading, 1)[0] == byte
            times.append(time.monotonic())
        steps = int((work_dir / 'last_checkpoint').read_text().rpartition('_')[2].removesuffix('.pth'))
        time.sleep(max(0, times[4] + delay * (times[3] - times[2]) - time.monotonic()))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return None if os.read(reading, 1) else steps
    finally:
        process.kill()
        process.join()
        os.close(reading)


@pytest.fixture
def imported(tmp_path):
    """What mmengine imports when it first trains, for the processes that are forked."""
    make_runner(tmp_path / 'first', CheckpointHook, steps=1).train()


@pytest.mark.usefixtures('imported')
def test_killed_at_random_instants_while_saving(tmp_path):
    folder, generator, inside_the_write = tmp_path / 'run', random.Random(0), 0
    kills, begun = 0, 0
    # How many hit the write depends on what else the machine does: five must, of four times as many at most.
    while kills < KILLS or (inside_the_write < 5 and kills < 4 * KILLS):
        before = kill_in_third_save(folder, AtomicCheckpointHook, generator.random())
        last = last_steps(folder)
        # It went on where it was killed; a kill that came late may have let more saves pass.
        assert last >= begun + 3 if before is None else last in (begun + 2, begun + 3)
        files = saved(folder)
        assert len([name for name in files if name.endswith('.pth')]) <= 2
        inside_the_write += any(name.endswith('.pth.incomplete') for name in files)
        kills += before is not None
        begun = last
    assert inside_the_write >= 5
    make_runner(folder, AtomicCheckpointHook, begun + 1).train()
    assert last_steps(folder) == begun + 1
    assert saved(folder) == [f'iter_{begun + 1}.pth', 'last_checkpoint']
    print(f'killed {kills} times, {inside_the_write} inside the write')


@pytest.mark.extended
@pytest.mark.usefixtures('imported')
def test_the_hook_of_mmengine_loses_everything(tmp_path):
    folder, generator, kills, lost = tmp_path / 'run', random.Random(0), 0, 0
    while kills < KILLS:
        if kill_in_third_save(folder, CheckpointHook, generator.random()) is not None:
            kills += 1
            lost += last_steps(folder) is None
        shutil.rmtree(folder)
    assert lost > 0
    print(f'killed {kills} times, lost everything {lost} times')


class FillDisk(Hook):
    """Linux lets nothing be written to the device ``/dev/full``."""

    priority = 'LOWEST'

    def before_train(self, runner):
        for name in ('iter_3.pth', 'iter_3.pth.incomplete'):
            Path(runner.work_dir, name).symlink_to('/dev/full')


@pytest.mark.parametrize('hook', [AtomicCheckpointHook, CheckpointHook])
def test_a_full_disk(tmp_path, hook):
    make_runner(tmp_path, hook, steps=2).train()
    runner = make_runner(tmp_path, hook, steps=3)
    runner.register_hook(FillDisk())
    with pytest.raises(OSError, match='No space left on device') as error:
        runner.train()
    if hook is CheckpointHook:
        assert last_steps(tmp_path) is None
        return
    assert str(error.value).endswith(f"; earlier files are intact: '{tmp_path}/iter_3.pth'")
    (tmp_path / 'iter_3.pth').unlink()
    assert saved(tmp_path) == ['iter_2.pth', 'last_checkpoint']
    make_runner(tmp_path, hook, steps=3).train()
    assert last_steps(tmp_path) == 3


def test_a_file_is_as_it_was_or_complete(tmp_path):
    write_atomically(tmp_path / 'folder' / 'a', b'first')
    write_atomically(tmp_path / 'folder' / 'a', b'second')
    (tmp_path / 'folder' / 'b.incomplete').symlink_to('/dev/full')
    with pytest.raises(OSError, match='No space left'):
        write_atomically(tmp_path / 'folder' / 'b', b'third')
    assert {path.name: path.read_bytes() for path in (tmp_path / 'folder').iterdir()} == dict(a=b'second')


OPTIONS = [
    dict(),
    dict(max_keep_ckpts=2),
    dict(max_keep_ckpts=-1, interval=3),
    dict(save_best='score', rule='greater'),
    dict(save_best=['score', 'loss'], rule=['greater', 'less'], max_keep_ckpts=3),
    dict(save_best='auto', rule='less', interval=10),  # the best is saved before any other
    dict(save_best='score', rule='greater', published_keys=['meta', 'state_dict'], filename_tmpl='at_{}.pth'),
    dict(interval=2, save_begin=3, save_last=False),
    dict(save_optimizer=False),
]


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_keeps_what_the_hook_of_mmengine_keeps(tmp_path, options, by_epoch):
    kept = []
    for hook in (CheckpointHook, AtomicCheckpointHook):
        folder = tmp_path / hook.__name__ / 'run'
        for steps in (4, 6):  # the second is resumed, if there is what it takes
            make_runner(folder, hook, steps, by_epoch, val=True, megabytes=0, **options).train()
        # The name of a published file has a sum of its contents, of which the date is one.
        names = [re.sub('-[0-9a-f]{8}', '-*', name) for name in saved(folder)]
        pointer = folder / 'last_checkpoint'
        named = Path(pointer.read_text()).relative_to(folder) if pointer.exists() else None
        last = torch.load(pointer.read_text(), weights_only=False) if named else {}
        kept.append((names, named, last_steps(folder), sorted(last)))
    assert kept[0] == kept[1]


def test_the_best_is_deleted_after_the_next_is_saved(tmp_path, monkeypatch):
    counts = []
    save_checkpoint = Runner.save_checkpoint

    def counted(*args, **kwargs):
        counts.append(len(list(tmp_path.glob('best_*.pth'))))
        save_checkpoint(*args, **kwargs)
        counts.append(len(list(tmp_path.glob('best_*.pth'))))

    monkeypatch.setattr(Runner, 'save_checkpoint', counted)
    make_runner(tmp_path, AtomicCheckpointHook, 3, True, val=True, save_best='score', rule='greater').train()
    # Each epoch is saved, then the best of epochs 1 and 3, each time with the epoch once more.
    assert counts == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2]
    assert saved(tmp_path) == ['best_score_epoch_3.pth', 'epoch_3.pth', 'last_checkpoint']


def test_resuming_deletes_what_the_killed_run_did_not(tmp_path, monkeypatch):
    monkeypatch.setattr(AtomicCheckpointHook, '_delete_outdated', lambda *args: None)  # as if killed before
    make_runner(tmp_path, AtomicCheckpointHook, 3, True, val=True, save_best='score', rule='greater').train()
    (tmp_path / 'epoch_4.pth.incomplete').touch()
    (tmp_path / 'last_checkpoint.incomplete').touch()
    monkeypatch.undo()
    last = ['best_score_epoch_3.pth', 'epoch_3.pth', 'last_checkpoint']
    assert set(saved(tmp_path)) > {'best_score_epoch_1.pth', 'epoch_2.pth', *last}
    make_runner(tmp_path, AtomicCheckpointHook, 3, True).train()
    assert saved(tmp_path) == last


def test_nothing_elsewhere_is_deleted(tmp_path):
    folder, elsewhere = tmp_path / 'run', tmp_path / 'elsewhere'
    make_runner(folder, AtomicCheckpointHook, 1, True, val=True, save_best='score', rule='greater').train()
    elsewhere.mkdir()
    checkpoint = torch.load(folder / 'epoch_1.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info'].update(
        best_ckpt=str(elsewhere), outdated_ckpts=['..', '', str(elsewhere), '../elsewhere', 'best_score_epoch_1.pth']
    )
    torch.save(checkpoint, folder / 'epoch_1.pth')
    make_runner(folder, AtomicCheckpointHook, 3, True, val=True, save_best='score', rule='greater').train()
    assert elsewhere.is_dir()
    assert saved(folder) == ['best_score_epoch_3.pth', 'epoch_3.pth', 'last_checkpoint']
