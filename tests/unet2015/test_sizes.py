import pytest

from deepunetto_mm.unet2015.sizes import (
    unet2015_input_size,
    unet2015_is_valid_size,
    unet2015_margin,
    unet2015_nearest_sizes,
    unet2015_output_shape,
)


def _walk(size, depth):
    """The output's size step by step, or None where a pooled map is odd or nothing is left."""
    for level in range(depth):
        if level:
            if size % 2:
                return None
            size //= 2
        size -= 4
        if size < 1:
            return None
    for _ in range(depth - 1):
        size = 2 * size - 4
        if size < 1:
            return None
    return size


def test_sizes_of_the_paper():
    assert unet2015_margin() == 184
    assert unet2015_output_shape((572, 572)) == (388, 388)
    assert unet2015_input_size(388) == 572
    assert unet2015_is_valid_size(572)


@pytest.mark.parametrize('depth', [1, 2, 3, 4, 5, 6])
def test_formulas_say_what_the_steps_give(depth):
    outputs = {size: _walk(size, depth) for size in range(1, 700)}
    valid = [size for size, output in outputs.items() if output]
    assert valid
    for size, output in outputs.items():
        assert unet2015_is_valid_size(size, depth) == (output is not None)
        if output is not None:
            assert unet2015_output_shape((size, valid[0]), depth) == (output, outputs[valid[0]])
            assert size - output == unet2015_margin(depth)
        if size <= valid[-1]:
            below = max((other for other in valid if other <= size), default=None)
            assert unet2015_nearest_sizes(size, depth) == (below, min(other for other in valid if other >= size))
    for wanted in range(1, 100):
        assert unet2015_input_size(wanted, depth) == min(size for size in valid if outputs[size] >= wanted)


def test_errors_name_each_bad_dimension_and_its_nearest_sizes():
    with pytest.raises(ValueError, match=r'depth 5 takes no height of 570 \(nearest valid: 556 and 572\)$'):
        unet2015_output_shape((570, 572))
    with pytest.raises(ValueError, match=r'takes no width of 573 \(nearest valid: 572 and 588\)$'):
        unet2015_output_shape((572, 573))
    both = r'no height of 187 \(smallest valid: 188\) and no width of 189 \(nearest valid: 188 and 204\)$'
    with pytest.raises(ValueError, match=both):
        unet2015_output_shape((187, 189))


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match='at least 1 pixel, got 0'):
        unet2015_input_size(0)
    with pytest.raises(ValueError, match='depth of 0'):
        unet2015_margin(0)
