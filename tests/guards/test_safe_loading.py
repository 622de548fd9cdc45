"""No checkpoint runs code: not through torch, not through mmengine, not in a command."""

import os
import re

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint

from deepunetto_mm.apis import DeepUNettoInferencer, UnsafeCheckpointError, safe_loading
from deepunetto_mm.guards.restricted_unpickler import TORCH_READS_SAFELY
from deepunetto_mm.guards.safe_loading import load


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(path, content):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1)), meta=content), path)
    return str(path)


@pytest.fixture
def malicious(tmp_path, monkeypatch):
    """A checkpoint of which reading makes the folder ``ran``."""
    monkeypatch.chdir(tmp_path)
    return save(tmp_path / 'epoch_1.pth', Runs(os.mkdir, 'ran'))


@pytest.mark.parametrize(
    ('function', 'arguments', 'named'),
    [
        (os.mkdir, ('ran',), 'mkdir'),
        (getattr, (np.ndarray, 'tofile'), 'tofile'),
        (getattr, (HistoryBuffer, '__init__'), '__init__'),
        (torch.nn.Linear, (1, 1), 'Linear'),
    ],
)
@pytest.mark.parametrize('legacy', [False, True])
def test_refuses_what_could_run_code(tmp_path, monkeypatch, function, arguments, named, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save(Runs(function, *arguments), 'a.pth', _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UnsafeCheckpointError, match=rf'a\.pth contains \S*{named} besides weights'):
        load('a.pth')
    assert not (tmp_path / 'ran').exists()


def test_reads_files_of_old_versions_of_torch(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(weight=torch.arange(3)), path, _use_new_zipfile_serialization=False)
    assert load(path)['weight'].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r'a\.pth is not a checkpoint, or is damaged'):
        load(path)


@pytest.mark.skipif(not TORCH_READS_SAFELY, reason='torch before 2.6 has no list of what is allowed')
def test_leaves_no_class_allowed_behind(tmp_path):
    before = set(torch.serialization.get_safe_globals())  # torch lists a set, in any order
    load(save(tmp_path / 'a.pth', {}))
    assert set(torch.serialization.get_safe_globals()) == before


class TestOthers:
    """Whoever loads, it is :func:`load` that reads."""

    def test_mmengine_runs_the_code(self, malicious, tmp_path):
        load_checkpoint(torch.nn.Linear(1, 1), malicious)
        assert (tmp_path / 'ran').exists()  # otherwise the tests below prove nothing

    @pytest.mark.parametrize(
        'read',
        [
            lambda path: load_checkpoint(torch.nn.Linear(1, 1), path),
            CheckpointLoader.load_checkpoint,
            lambda path: torch.load(path, weights_only=False),
            lambda path: torch.hub.load_state_dict_from_url(f'file://{path}', model_dir='hub', weights_only=False),
        ],
        ids=['mmengine', 'mmengine_loader', 'torch', 'torch_hub'],
    )
    def test_is_safe_inside(self, malicious, tmp_path, monkeypatch, read):
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
        plain = torch.load
        with (
            pytest.raises(UnsafeCheckpointError, match=r'epoch_1\.pth contains \S*mkdir besides weights'),
            safe_loading(),
        ):
            read(malicious)
        assert not (tmp_path / 'ran').exists()
        assert torch.load is plain

    def test_trusted(self, malicious, tmp_path):
        with safe_loading(trusted=True):
            load_checkpoint(torch.nn.Linear(1, 1), malicious)
        assert (tmp_path / 'ran').exists()


COMMANDS = {
    'tools/train.py': [
        ('{config}', '--work-dir', '{folder}', '--resume'),
        ('{config}', '--work-dir', '{folder}', '--cfg-options', 'load_from={checkpoint}'),
        ('{config}', '--work-dir', '{folder}', '--cfg-options', 'resume=True'),
        (
            *(
                '{config}',
                '--work-dir',
                '{folder}',
                '--cfg-options',
                'model.backbone.backbone.init_cfg.type=Pretrained',
            ),
            'model.backbone.backbone.init_cfg.checkpoint={checkpoint}',
        ),
    ],
    'tools/test.py': [
        ('{config}', '{checkpoint}', '--work-dir', '{folder}'),
        ('{config}', '{folder}', '--work-dir', '{folder}'),
    ],
    'tools/deployment/export.py': [('{config}', '{checkpoint}', '{folder}/exported')],
    'tools/analysis_tools/robustness.py': [('{config}', '{checkpoint}', '--work-dir', '{folder}')],
    'tools/analysis_tools/composing_errors.py': [('{config}', '{checkpoint}')],
    'tools/analysis_tools/load.py': [('{config}', '{checkpoint}', '--cases', 'small', '--pictures', '1')],
    'demo/image_demo.py': [('{folder}', '{config}', '{checkpoint}', '--no-progress')],
    'demo/web.py': [('{config}', '{checkpoint}', '--no-browser')],
}


@pytest.mark.parametrize(
    ('script', 'arguments'), [(script, arguments) for script, calls in COMMANDS.items() for arguments in calls]
)
def test_commands_refuse(in_process, config, malicious, tmp_path, capsys, script, arguments):
    if script == 'demo/web.py':
        pytest.importorskip('fastapi')
    (tmp_path / 'last_checkpoint').write_text(malicious)
    with pytest.raises(SystemExit) as stopped:
        in_process(script)(*(text.format(config=config, checkpoint=malicious, folder=tmp_path) for text in arguments))
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r'error: .*epoch_1\.pth contains \S*mkdir besides weights, .*--trust-checkpoint', last), last
    assert not (tmp_path / 'ran').exists()


def test_every_command_that_reads_checkpoints_is_tried(repository):
    scripts = [*repository.glob('tools/**/*.py'), *repository.glob('demo/*.py')]
    reading = {
        path.relative_to(repository).as_posix()
        for path in scripts
        if re.search(r'find_checkpoint|load_from|[Rr]unner\.|RUNNERS|read_checkpoint|Inferencer', path.read_text())
    }
    # The weights of peers.py are random, and plan.py leaves reading to train.py and test.py.
    assert reading - {'tools/analysis_tools/peers.py', 'tools/plan.py'} == set(COMMANDS)


def test_the_flag_trusts(in_process, config, malicious, tmp_path):
    with pytest.raises(AttributeError):  # what the call returns is no meta
        in_process('tools/train.py')(config, '--work-dir', tmp_path, '--resume', '--trust-checkpoint')
    assert (tmp_path / 'ran').exists()


def test_the_inferencer_refuses(config, malicious, tmp_path):
    with pytest.raises(UnsafeCheckpointError, match='mkdir'):
        DeepUNettoInferencer(config, malicious)
    assert not (tmp_path / 'ran').exists()


def test_resumes_safely_and_runs_no_config(in_process, config, tmp_path, monkeypatch):
    """With all that a checkpoint of a run may hold: averaged weights, schedules, the best score as numpy has it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config.py').write_text(f"""
_base_ = '{config}'
custom_hooks = [dict(type='EMAHook')]
param_scheduler = [dict(type='LinearLR', by_epoch=False)]
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
""")
    options = ('config.py', '--work-dir', tmp_path, '--resume', '--cfg-options', 'log_level=INFO')
    in_process('tools/train.py')(*options)
    path = tmp_path / 'iter_2.pth'
    checkpoint = torch.load(path, weights_only=False)
    assert {'ema_state_dict', 'optimizer', 'param_schedulers', 'message_hub'} <= set(checkpoint)
    assert 'best_score' in checkpoint['message_hub']['runtime_info']
    # mmengine runs this as Python when it resumes, whatever the way in which the file was read.
    checkpoint['meta']['config'] = 'import os\nos.mkdir("ran")'
    checkpoint['message_hub']['runtime_info']['best_score'] = np.float64(0.5)
    torch.save(checkpoint, path)
    in_process('tools/train.py')(*options, 'train_cfg.max_iters=3')
    assert load(tmp_path / 'iter_3.pth')['meta']['iter'] == 3
    assert not (tmp_path / 'ran').exists()
