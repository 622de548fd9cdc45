"""Checkpoints are found where a killed run left them, and read without running what is in them."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from deepunetto_mm.apis import read_checkpoint
from deepunetto_mm.guards.checkpoint import find_checkpoint, resolve_checkpoint
from deepunetto_mm.utils.errors import UsageError


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(path, **contents):
    torch.save(dict(state_dict=OrderedDict(weight=torch.arange(3.0)), **contents), path)
    return path


def test_reads_what_the_runner_writes(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    path = save(
        tmp_path / 'a.pth',
        meta=dict(epoch=3, dataset_meta=dict(classes=('a', 'b'), palette=np.array([[0, 0, 0], [1, 2, 3]]))),
        message_hub=dict(
            log_scalars={'train/loss': buffer}, runtime_info=dict(best=np.float32(0.5), last=np.float64(2))
        ),
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint['state_dict']['weight'].tolist() == [0, 1, 2]
    assert checkpoint['meta']['dataset_meta']['classes'] == ('a', 'b')
    assert checkpoint['meta']['dataset_meta']['palette'].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert checkpoint['message_hub']['log_scalars']['train/loss'].mean() == 1.5
    assert checkpoint['message_hub']['runtime_info'] == dict(best=0.5, last=2)


def test_reads_a_plain_state_dict(tmp_path):
    torch.save(dict(weight=torch.ones(2)), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['state_dict']['weight'].tolist() == [1, 1]


def test_reads_anything_that_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read_checkpoint(save(tmp_path / 'a.pth', meta=Runs(os.mkdir, 'ran')), trusted=True)
    assert (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_damaged_files(tmp_path, content):
    path = save(tmp_path / 'a.pth')
    path.write_bytes(path.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ValueError, match=r'a\.pth is not a checkpoint, or is truncated'):
        read_checkpoint(path)


def test_files_without_weights(tmp_path):
    torch.save([1, 2], tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'a\.pth contains a list'):
        read_checkpoint(tmp_path / 'a.pth')


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*b\.pth'):
        read_checkpoint(tmp_path / 'b.pth')


class TestFindCheckpoint:
    def _save(self, path, time):
        torch.save(dict(weight=torch.zeros(3)), path)
        os.utime(path, (time, time))
        return path

    def test_newest_first(self, tmp_path):
        assert find_checkpoint(str(tmp_path / 'absent')) is None
        assert find_checkpoint(str(tmp_path)) is None
        self._save(tmp_path / 'epoch_9.pth', 100)
        newest = self._save(tmp_path / 'epoch_10.pth', 200)
        self._save(tmp_path / 'best_mIoU_epoch_5.pth', 300)  # holds no optimizer to go on with
        assert find_checkpoint(str(tmp_path)) == str(newest)

    def test_passes_over_what_a_killed_run_left(self, tmp_path):
        intact = self._save(tmp_path / 'iter_1.pth', 100)
        cut = self._save(tmp_path / 'iter_2.pth', 200)
        cut.write_bytes(cut.read_bytes()[:-50])
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_0.pth'))
        assert find_checkpoint(str(tmp_path)) == str(intact)

    def test_follows_the_pointer_elsewhere(self, tmp_path):
        elsewhere = self._save(tmp_path / 'x.pth', 100)
        folder = tmp_path / 'run'
        folder.mkdir()
        (folder / 'last_checkpoint').write_text(str(elsewhere))
        assert find_checkpoint(str(folder)) == str(elsewhere)

    def test_a_copied_folder_has_lost_its_times(self, tmp_path):
        newest = self._save(tmp_path / 'epoch_10.pth', 100)
        self._save(tmp_path / 'epoch_9.pth', 200)
        elsewhere = tmp_path / 'before'
        elsewhere.mkdir()
        (tmp_path / 'last_checkpoint').write_text(str(self._save(elsewhere / 'epoch_10.pth', 300)))
        assert find_checkpoint(str(tmp_path)) == str(newest)

    def test_what_a_command_line_may_name(self, tmp_path):
        with pytest.raises(UsageError, match='no intact checkpoint'):
            resolve_checkpoint(str(tmp_path))
        with pytest.raises(UsageError, match='no checkpoint at'):
            resolve_checkpoint(str(tmp_path / 'absent.pth'))
        path = str(self._save(tmp_path / 'epoch_9.pth', 100))
        assert resolve_checkpoint(path) == resolve_checkpoint(str(tmp_path)) == path
        assert resolve_checkpoint('https://example.org/x.pth') == 'https://example.org/x.pth'
