import os
import re
import signal
import sys

import pytest
import torch
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader, Dataset

from deepunetto_mm.cli.errors import one_line_errors
from deepunetto_mm.structures import TaxonomyError
from deepunetto_mm.utils.errors import UsageError


class _Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise TaxonomyError("a.png: 'cat' is no cell;\nfix labels.csv")


class _Killed(_Broken):
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does, out of memory


class TestOneLineErrors:
    def _report(self, capsys, error, training=False):
        with pytest.raises(SystemExit) as stopped, one_line_errors(training=training):
            raise error
        return stopped.value.code, capsys.readouterr().err

    @pytest.mark.parametrize(
        ('error', 'line'),
        [
            (TaxonomyError('two\nlines'), 'error: two lines\n'),
            (UsageError('x'), 'error: x\n'),
            (
                ValueError('Expected more than 1 value per channel when training, got input size [1, 4, 1, 1]'),
                'error: BatchNorm had a single value per channel: a batch of one picture, or one region, whose map is '
                '1x1 (PSPHead and ASPPHead have such maps). Set train_dataloader.batch_size above 1 and '
                "drop_last=True, since the last batch of an epoch may have one; or norm_cfg=dict(type='GN', "
                'num_groups=8) in that part (--traceback shows where)\n',
            ),
            (FileNotFoundError(2, 'No such file', 'a.png'), "error: [Errno 2] No such file: 'a.png'\n"),
            (ValueError('of another library'), 'error: of another library (--traceback shows where)\n'),
            (KeyError('no X in the registry'), 'error: no X in the registry (--traceback shows where)\n'),
        ],
    )
    def test_what_the_user_can_fix(self, capsys, error, line):
        assert self._report(capsys, error) == (1, line)

    @pytest.mark.parametrize('disguised', [False, True])
    def test_ctrl_c(self, capsys, disguised):
        error = KeyboardInterrupt()
        if disguised:
            error = SyntaxError('cannot format')
            error.__context__ = KeyboardInterrupt()
        assert self._report(capsys, error) == (130, 'interrupted\n')
        status, line = self._report(capsys, error, training=True)
        assert (status, line) == (130, 'interrupted; tools/train.py --resume continues from the last checkpoint\n')

    def test_the_traceback_is_in_the_log(self, capsys, tmp_path):
        MMLogger.get_instance('run', log_file=str(tmp_path / 'run.log'))
        _, line = self._report(capsys, ValueError('of another library'))
        assert line == f'error: of another library (where: {tmp_path / "run.log"})\n'
        _, line = self._report(capsys, TaxonomyError('clear as it is'))
        assert line == 'error: clear as it is\n'
        with pytest.raises(RuntimeError), one_line_errors():
            raise RuntimeError('unexpected')
        text = (tmp_path / 'run.log').read_text()
        assert text.count('Traceback (most recent call last):') == 3
        for message in ('of another library', 'clear as it is', 'unexpected'):
            assert message in text

    @pytest.mark.parametrize('error', [RuntimeError('x'), KeyError('x'), TypeError('x'), AttributeError('x')])
    def test_other_errors_pass(self, error):
        with pytest.raises(type(error), match='x'), one_line_errors():
            raise error

    @pytest.mark.parametrize('error', [TaxonomyError('x'), KeyboardInterrupt('x')])
    def test_everything_passes_when_asked(self, error):
        with pytest.raises(type(error), match='x'), one_line_errors(show_traceback=True):
            raise error

    @pytest.mark.skipif(sys.platform != 'linux', reason='workers are forked')
    def test_a_loader_s_worker(self, capsys):
        with pytest.raises(SystemExit), one_line_errors():
            next(iter(DataLoader(_Broken(), num_workers=1, multiprocessing_context='fork')))
        assert capsys.readouterr().err == "error: a.png: 'cat' is no cell; fix labels.csv\n"

    def test_out_of_memory_on_the_gpu(self, capsys):
        error = torch.cuda.OutOfMemoryError(
            'CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which ...'
        )
        status, line = self._report(capsys, error, training=True)
        assert status == 1
        assert line == (
            'error: CUDA out of memory: use a smaller batch (train_dataloader.batch_size), smaller crops, or '
            'tools/train.py --amp. tools/train.py --resume continues from the last checkpoint\n'
        )
        assert self._report(capsys, error) == (
            1,
            'error: CUDA out of memory: use smaller batches (batch_size), smaller pictures, predict in tiles '
            "(model.test_cfg.mode='tile'), or on the CPU\n",
        )

    @pytest.mark.parametrize('allocate', [lambda: torch.empty(2**60, dtype=torch.uint8), lambda: bytearray(2**60)])
    def test_out_of_memory(self, capsys, allocate):
        with pytest.raises(SystemExit) as stopped, one_line_errors():
            allocate()
        assert stopped.value.code == 1
        assert capsys.readouterr().err.startswith('error: out of memory: use smaller batches')

    @pytest.mark.skipif(sys.platform != 'linux', reason='workers are forked')
    def test_a_worker_that_is_killed(self, capsys):
        with pytest.raises(SystemExit) as stopped, one_line_errors():
            next(iter(DataLoader(_Killed(), num_workers=1, multiprocessing_context='fork')))
        assert stopped.value.code == 1
        # Which of two messages it is depends on who notices first.
        assert re.match(
            r'error: DataLoader worker .* (killed by signal: Killed|exited unexpectedly): usually out of memory',
            capsys.readouterr().err,
        )
