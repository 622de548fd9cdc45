"""Several processes on a machine without a GPU, as the scripts start them; and what the scripts start."""

import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from deepunetto_mm.cli.runtime import FSDP_NEEDS_GPU, initialise_distributed
from deepunetto_mm.guards.checkpoint import find_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SHALLOW = ROOT / 'tests' / 'data' / 'shallow_config.py'
DIST_TRAIN, DIST_TEST = (ROOT / 'tools' / f'dist_{name}.sh' for name in ('train', 'test'))
SLURM_TRAIN, SLURM_TEST = (ROOT / 'tools' / f'slurm_{name}.sh' for name in ('train', 'test'))
WITHOUT_VALIDATION = ['val_dataloader=None', 'val_cfg=None', 'val_evaluator=None']

needs_a_cpu_alone = pytest.mark.skipif(torch.cuda.is_available(), reason='gloo is for machines without a GPU')


def _run(*command, **environment):
    """Run a command to its end, or for a minute and a half."""
    environment = {**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **environment}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=90)


@pytest.fixture
def recorder(tmp_path):
    """A command that writes its arguments down, a line each; and how to read them."""
    command = tmp_path / 'recorder'
    command.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
    command.chmod(0o755)
    return command, lambda: (tmp_path / 'arguments').read_text().splitlines()


# -------------------------------------------------------------------------------------------------- the command lines
@pytest.mark.parametrize(
    ('script', 'few', 'usage'),
    [
        (DIST_TRAIN, ['x.py'], 'CONFIG GPUS [options of tools/train.py]'),
        (DIST_TEST, ['x.py', 'x.pth'], 'CONFIG CHECKPOINT GPUS [options of tools/test.py]'),
        (SLURM_TRAIN, ['gpus', 'job'], 'PARTITION JOB_NAME CONFIG [options of tools/train.py]'),
        (SLURM_TEST, ['gpus', 'job', 'x.py'], 'PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]'),
    ],
)
def test_missing_arguments_are_a_line_of_usage(script, few, usage):
    done = _run(script, *few)
    assert done.returncode == 2
    assert re.fullmatch(rf'usage: \[.*\] {re.escape(f"{script} {usage}")}\n', done.stderr)


@pytest.mark.parametrize(
    ('environment', 'rendezvous'),
    [
        ({}, ['--standalone']),
        (
            dict(PORT='12345'),
            ['--nnodes', '1', '--node-rank', '0', '--master-addr', '127.0.0.1', '--master-port', '12345'],
        ),
        (
            dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='first'),
            ['--nnodes', '2', '--node-rank', '1', '--master-addr', 'first', '--master-port', '29500'],
        ),
    ],
)
def test_what_torchrun_is_told(recorder, environment, rendezvous):
    command, arguments = recorder
    launch = ['-m', 'torch.distributed.run', *rendezvous, '--nproc-per-node', '3']
    _run(DIST_TRAIN, 'my config.py', 3, '--work-dir', 'a b', PYTHON=str(command), **environment)
    train = [str(DIST_TRAIN.with_name('train.py')), 'my config.py', '--launcher', 'pytorch', '--work-dir', 'a b']
    assert arguments() == [*launch, *train]
    _run(DIST_TEST, 'my config.py', 'a b.pth', 3, '--tta', PYTHON=str(command), **environment)
    test = [str(DIST_TEST.with_name('test.py')), 'my config.py', 'a b.pth', '--launcher', 'pytorch', '--tta']
    assert arguments() == [*launch, *test]


@pytest.mark.parametrize(
    ('environment', 'request_'),
    [
        ({}, ['--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4', '--cpus-per-task=5', '--kill-on-bad-exit=1']),
        (
            dict(GPUS='2', GRES='', CPUS_PER_TASK='1', SRUN_ARGS='--time 5 --quiet'),
            [
                '--ntasks=2',
                '--ntasks-per-node=2',
                '--cpus-per-task=1',
                '--kill-on-bad-exit=1',
                '--time',
                '5',
                '--quiet',
            ],
        ),
        (
            dict(GPUS='16', GPUS_PER_NODE='8'),
            ['--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1'],
        ),
    ],
)
def test_what_srun_is_told(recorder, environment, request_):
    command, arguments = recorder
    command = command.rename(command.with_name('srun'))
    environment = dict(environment, PATH=f'{command.parent}:{os.environ["PATH"]}', PYTHON='my python')
    _run(SLURM_TRAIN, 'gpu', 'my job', 'my config.py', '--work-dir', 'a b', **environment)
    train = ['my python', '-u', str(SLURM_TRAIN.with_name('train.py')), 'my config.py', '--launcher', 'slurm']
    assert arguments() == ['--partition=gpu', '--job-name=my job', *request_, *train, '--work-dir', 'a b']
    _run(SLURM_TEST, 'gpu', 'my job', 'my config.py', 'a b.pth', '--tta', **environment)
    test = ['my python', '-u', str(SLURM_TEST.with_name('test.py')), 'my config.py', 'a b.pth', '--launcher', 'slurm']
    assert arguments() == ['--partition=gpu', '--job-name=my job', *request_, *test, '--tta']


# -------------------------------------------------------------------------------------------------- real processes
@needs_a_cpu_alone
@pytest.mark.skipif(sys.platform != 'linux', reason='finds the processes in /proc')
def test_a_killed_process_ends_the_run_and_what_it_left_resumes(in_process, launch, recorder, tmp_path):
    """As the script tells torchrun, which is a copy of this process here, and its workers copies of it."""
    options = ['train_cfg.max_iters=100000', 'model.decode_head.norm_cfg.type=SyncBN', *WITHOUT_VALIDATION]
    command, arguments = recorder
    _run(DIST_TRAIN, SHALLOW, 2, '--work-dir', tmp_path, '--cfg-options', *options, PYTHON=str(command))
    module, *told = arguments()[1:]

    def kill_the_second_worker(torchrun):
        until = time.monotonic() + 300
        while not (tmp_path / 'iter_2.pth').exists() and torchrun.is_alive() and time.monotonic() < until:
            time.sleep(0.1)
        workers = Path(f'/proc/{torchrun.pid}/task/{torchrun.pid}/children').read_text().split()  # as they were born
        assert len(workers) == 2
        os.kill(int(workers[1]), signal.SIGKILL)

    torchrun = import_module(module).main
    copies = ['--start-method', 'fork', '--run-path']
    ((status, printed),) = launch(torchrun, [*copies, *told], processes=1, timeout=60, meanwhile=kill_the_second_worker)
    assert status == 1, printed
    assert 'BatchNorm instead of SyncBN' in printed

    resumed = torch.load(find_checkpoint(tmp_path), weights_only=False)['meta']['iter']
    assert resumed >= 2
    goal = f'train_cfg.max_iters={resumed + 1}'
    in_process('tools/train.py')(
        SHALLOW, '--work-dir', tmp_path, '--resume', '--cfg-options', goal, *WITHOUT_VALIDATION
    )
    checkpoint = torch.load(tmp_path / f'iter_{resumed + 1}.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == resumed + 1
    assert checkpoint['optimizer']['state'][0]['step'] == resumed + 1


def _figures(printed):
    """What tools/test.py prints at the end, by name."""
    return dict(re.findall(r'^  (\S+) +(\d+\.\d\d|nan)$', printed, re.MULTILINE))


@needs_a_cpu_alone
def test_two_processes_test_an_odd_number_of_pictures_like_one(in_process, launch, tmp_path, capsys):
    training = ['train_cfg.max_iters=12', 'default_hooks.checkpoint.interval=12', 'optim_wrapper.optimizer.lr=0.01']
    in_process('tools/train.py')(SHALLOW, '--work-dir', tmp_path, '--cfg-options', *training, *WITHOUT_VALIDATION)
    test, pictures = in_process('tools/test.py'), ['--cfg-options', 'test_dataloader.dataset.num_scenes=7']
    test(SHALLOW, tmp_path, '--work-dir', tmp_path / 'one', *pictures)
    one = _figures(capsys.readouterr().out)
    ended = launch(test, SHALLOW, tmp_path, '--launcher', 'pytorch', '--work-dir', tmp_path / 'two', *pictures)
    assert [status for status, _ in ended] == [0, 0], ended
    assert len(one) >= 11
    assert float(one['composed/mIoU']) > 0
    assert [_figures(printed) for _, printed in ended] == [one, {}]


def _started_by(prefix, **place):
    """Give this process the place that a launcher other than torchrun would give it; it is told by number."""
    rank = os.environ.pop('RANK')
    for name in ('WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR'):
        del os.environ[name]
    os.environ.update({f'{prefix}_{name}': value or rank for name, value in place.items()})


@needs_a_cpu_alone
def test_slurm_without_gpus(in_process, launch, tmp_path):
    def train():
        _started_by('SLURM', JOB_ID='12345', NODELIST='localhost', NTASKS='2', PROCID=None, LOCALID=None)
        options = ['train_cfg.max_iters=1', *WITHOUT_VALIDATION]
        tool(SHALLOW, '--launcher', 'slurm', '--work-dir', tmp_path / 'run', '--cfg-options', *options)

    tool = in_process('tools/train.py')
    ended = launch(train)
    assert [status for status, _ in ended] == [0, 0], ended
    assert torch.load(tmp_path / 'run' / 'iter_1.pth', weights_only=False)['meta']['iter'] == 1
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'Distributed launcher: slurm' in log.read_text()
    assert 'GPU number: 2' in log.read_text()


@needs_a_cpu_alone
def test_mpi_without_gpus(launch):
    def add():
        _started_by('OMPI_COMM_WORLD', RANK=None, SIZE='2', LOCAL_RANK=None, LOCAL_SIZE='2')
        initialise_distributed(Config(dict(launcher='mpi')))
        number = torch.ones(()) * (torch.distributed.get_rank() + 1)
        torch.distributed.all_reduce(number)
        print(torch.distributed.get_backend(), int(number))

    assert launch(add) == [(0, 'gloo 3\n')] * 2


@needs_a_cpu_alone
@pytest.mark.skipif(FSDP_NEEDS_GPU, reason='FSDP of this torch needs a GPU')
def test_fsdp_by_its_config(in_process, launch, mmseg_scope, tmp_path, capsys):
    config = ROOT / 'configs' / 'deepunetto_shapes_fsdp.py'
    options = [
        'model.data_preprocessor.size=(64,64)',
        'train_dataloader.batch_size=1',
        'train_dataloader.dataset.num_scenes=2',
        'train_dataloader.dataset.size=(64,64)',
        'train_cfg.max_epochs=1',
        *WITHOUT_VALIDATION,
    ]
    ended = launch(
        in_process('tools/train.py'), config, '--launcher', 'pytorch', '--work-dir', tmp_path, '--cfg-options', *options
    )
    assert [status for status, _ in ended] == [0, 0], ended
    # One checkpoint, after a step of two processes on a picture each, which one process reads without FSDP.
    checkpoint = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 1
    assert 'decode_head.conv_seg.weight' in checkpoint['optimizer']['state']  # by name: FSDP wrote it
    plain = ['test_dataloader.dataset.num_scenes=1', 'test_dataloader.dataset.size=(64,64)']
    in_process('tools/test.py')(config, tmp_path, '--work-dir', tmp_path / 'test', '--cfg-options', *plain)
    printed = capsys.readouterr()
    assert 'composed/mIoU' in printed.out
    assert not re.search('missing keys|unexpected key', printed.out + printed.err)
