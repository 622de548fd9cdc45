import pytest

from deepunetto_mm.planning.python_text import code, comment


@pytest.mark.parametrize(
    'value',
    [
        dict(type='X', scale=(1, 2), names=['a', "it's"], nothing=None, share=0.25),
        [dict(type='Step', number=i, text='long enough to need a line of its own') for i in range(4)],
        {},
        [],
    ],
)
def test_code_means_the_value_and_fits_the_line(value):
    text = code(value, 0)
    assert eval(text) == value
    assert max(map(len, text.splitlines())) <= 120


def test_every_line_of_a_comment_is_one():
    lines = comment('word ' * 60).splitlines()
    assert len(lines) > 1
    assert all(line.startswith('# ') and len(line) <= 120 for line in lines)
