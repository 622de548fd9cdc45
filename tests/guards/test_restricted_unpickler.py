"""The replacement of torch's safe unpickler, on any torch."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from deepunetto_mm.guards.restricted_unpickler import _restricted_pickle, restricted_load
from deepunetto_mm.guards.safe_loading import _allowed, _named


class Built:
    """Unpickles to something else."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def _saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return io.BytesIO(buffer.getvalue())


def _read(file):
    return restricted_load(file, 'cpu', dict(map(_named, _allowed())))


@pytest.mark.parametrize('zipped', [True, False])
def test_reads_what_checkpoints_hold(zipped):
    weights = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.nn.Parameter(torch.ones(2, dtype=torch.float16)))
    content = dict(
        weights=weights, log=HistoryBuffer([1.0, 2.0], [1, 1]), best=np.float64(0.5), map=np.arange(3), raw=b'\xff\x00'
    )
    read = _read(_saved(content, _use_new_zipfile_serialization=zipped))
    assert torch.equal(read['weights']['a'], weights['a'])
    assert torch.equal(read['weights']['b'], weights['b'])
    assert read['log'].mean() == 1.5
    assert (read['best'], read['map'].tolist(), read['raw']) == (0.5, [0, 1, 2], b'\xff\x00')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(
    ('content', 'named'),
    [
        (Built(exec, ('raise SystemExit',)), 'exec'),
        (Built(getattr, (HistoryBuffer, '__init__')), '__init__'),
        (torch.nn.Linear(1, 1), 'Linear'),
        # State of a class that is allowed, which would be changed for everybody.
        (Built(HistoryBuffer.__class__, ('X', (), {})), 'type'),
    ],
)
def test_refuses_the_rest(content, named, zipped):
    with pytest.raises(pickle.UnpicklingError, match=rf'(GLOBAL|getattr) \S*{named}'):
        _read(_saved([content], _use_new_zipfile_serialization=zipped))


def test_sets_no_attribute_of_a_class():
    # Two lists: the state of instances, and attributes. What Python writes of a class never has them.
    stream = b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\nN}X\x04\x00\x00\x00meanK\x01s\x86b.'
    before = HistoryBuffer.mean
    unpickler = _restricted_pickle({'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer})
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        unpickler.load(io.BytesIO(stream))
    assert HistoryBuffer.mean is before


def test_torchscript_is_refused(tmp_path):
    torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)).save(str(tmp_path / 'a.pth'))
    with pytest.raises(pickle.UnpicklingError, match='TorchScript'):
        _read(tmp_path / 'a.pth')
