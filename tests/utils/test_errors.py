import pickle

import pytest
from torch._utils import ExceptionWrapper

from deepunetto_mm.utils.errors import DataError, suggest


def test_an_error_tells_its_kind_to_another_process():
    error = pickle.loads(pickle.dumps(DataError('a.png: 3 pixels', 'unknown labels', {7: 3})))
    assert (str(error), error.kind, error.labels) == ('a.png: 3 pixels', 'unknown labels', {7: 3})
    assert (DataError('x').kind, DataError('x').labels) == ('other', {})


def test_a_workers_error_stays_a_data_error():
    """A DataLoader builds it again from its message alone."""
    try:
        raise DataError('a.png: truncated', 'truncated file')
    except DataError:
        wrapped = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(DataError, match='a.png: truncated'):
        wrapped.reraise()


def test_a_misspelt_name_is_suggested():
    assert suggest('lemon', ['lime', 'lemons', 'kiwi']) == " (there is 'lemons')"
    assert suggest('x', ['lime']) == ''
    assert suggest('7', ['17', '007']) == " (there is '007')"
