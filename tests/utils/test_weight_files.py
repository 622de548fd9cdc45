"""Weights in float16 and in 8 bits: the numbers of the file, and what is read from it."""

import pytest
import safetensors.torch
import torch

from deepunetto_mm.utils.weight_files import decode_weights, encode_weights

NAN, INF = float('nan'), float('inf')


def _kernel(*channels, size=8192, dtype=torch.float32):
    """A weight (C, size / 2, 2, 1), of which each channel begins with some numbers; the others are 0."""
    weight = torch.zeros(len(channels), size, dtype=dtype)
    for row, numbers in zip(weight, channels):
        row[: len(numbers)] = torch.tensor(numbers, dtype=dtype)
    return weight.view(len(channels), -1, 2, 1)


def test_integers_and_the_scale_of_each_channel():
    weight = _kernel([63.5, -0.5, 0.26, 0.24], [], [0.75, -254.0])
    stored = safetensors.torch.load(encode_weights(dict(weight=weight), int8=True))
    assert stored.keys() == {'weight..int8', 'weight..scale'}
    values, scale = stored['weight..int8'], stored['weight..scale']
    assert (values.dtype, values.shape) == (torch.int8, weight.shape)
    assert scale.tolist() == [0.5, torch.finfo(torch.float32).tiny, 2.0]
    assert torch.equal(values, _kernel([127, -1, 1, 0], [], [0, -127], dtype=torch.int8))


def test_what_is_read_is_the_integers_times_the_scales():
    content = encode_weights(dict(weight=_kernel([63.5, -0.5, 0.26, 0.24], [], [0.75, -254.0])), int8=True)
    state = decode_weights(content, 'w.safetensors')
    assert state.keys() == {'weight'}
    assert state['weight'].dtype == torch.float32
    assert torch.equal(state['weight'], _kernel([63.5, -0.5, 0.5, 0.0], [], [0.0, -254.0]))


@pytest.mark.parametrize('factor', [1e-42, 1e-7, 1.0, 1e36])  # 1e-7: a channel of which float16 has few numbers
def test_no_weight_changes_by_more_than_half_a_scale(factor):
    weight = factor * torch.randn(4, 4096, generator=torch.Generator().manual_seed(0))
    read = decode_weights(encode_weights(dict(weight=weight), int8=True), 'w.safetensors')['weight']
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    assert ((read.double() - weight.double()).abs() <= 0.5001 * scale.double()).all()
    assert (read != weight).any()


@pytest.mark.parametrize(
    ('tensor', 'dtype'),
    [
        (torch.ones(20000), torch.float16),  # a bias, or a statistic of BatchNorm
        (torch.ones(127, 129), torch.float16),  # small
        (torch.tensor(3), torch.int64),
        (torch.ones(2, 8192, dtype=torch.int64), torch.int64),
        (torch.ones(2, 8192, dtype=torch.int8), torch.int8),
        (_kernel([1.0, NAN], [INF]), torch.float16),
        (_kernel([1e6, -INF], [NAN]), torch.float32),  # float16 has no 1e6
        (_kernel([1e300], [1.0], dtype=torch.float64), torch.float64),  # and float32 no 1e300 / 127
    ],
)
def test_what_8_bits_do_not_have_stays(tensor, dtype):
    content = encode_weights(dict(weight=tensor), int8=True)
    assert content == encode_weights(dict(weight=tensor))
    read = decode_weights(content, 'w.safetensors')
    assert read.keys() == {'weight'}
    assert read['weight'].dtype == dtype
    torch.testing.assert_close(read['weight'], tensor.to(dtype), rtol=0, atol=0, equal_nan=True)


def test_float16_unless_asked():
    read = decode_weights(encode_weights(dict(weight=_kernel([1.0001], [1e6 / 16]))), 'w.safetensors')
    assert torch.equal(read['weight'], _kernel([1.0], [62496.0], dtype=torch.float16))


@pytest.mark.parametrize(
    'changed',
    [
        {'a.weight..scale': None},
        {'a.weight..int8': None},
        {'a.weight..scale': torch.ones(3)},
        {'a.weight..scale': torch.ones(2, 1)},
        {'a.weight..scale': torch.ones(2, dtype=torch.float16)},
        {'a.weight..scale': torch.tensor([1.0, INF])},
        {'a.weight..int8': torch.ones(2, 8192)},
        {'a.weight': torch.ones(2, 8192)},
    ],
)
def test_8_bits_without_a_scale_that_fits_are_an_error(changed):
    stored = {**safetensors.torch.load(encode_weights({'a.weight': _kernel([1.0], [2.0])}, int8=True)), **changed}
    content = safetensors.torch.save({name: tensor for name, tensor in stored.items() if tensor is not None})
    with pytest.raises(ValueError) as refused:
        decode_weights(content, 'folder/w.safetensors')
    assert str(refused.value) == (
        'folder/w.safetensors: a.weight is stored in 8 bits, which takes a.weight..int8 of int8, a.weight..scale of '
        'float32 with a finite number for each of its channels, and no a.weight beside them; get the file again'
    )


def test_what_is_no_file_of_safetensors():
    with pytest.raises(ValueError, match=r'^w\.safetensors is not a file of safetensors, or is damaged; get it again'):
        decode_weights(b'weights', 'w.safetensors')
