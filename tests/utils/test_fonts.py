"""Names in any script are drawn in a font that has their letters."""

import cv2
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from deepunetto_mm.evaluation import confusion_picture
from deepunetto_mm.utils import fonts
from deepunetto_mm.visualization import RegionVisualizer, drawing


@pytest.fixture
def chinese_font(tmp_path, monkeypatch):
    """The file of a font, which no system has, with full squares for the letters of 细胞; it is installed."""
    pen = TTGlyphPen(None)
    for move, point in (
        (pen.moveTo, (0, 0)),
        (pen.lineTo, (0, 1000)),
        (pen.lineTo, (1000, 1000)),
        (pen.lineTo, (1000, 0)),
    ):
        move(point)
    pen.closePath()
    square, names = pen.glyph(), ['.notdef', 'first', 'second']
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord('细'): 'first', ord('胞'): 'second'})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable(dict(familyName='Squares', styleName='Regular'))
    builder.setupOS2(sTypoAscender=1000, sTypoDescender=0)
    builder.setupPost()
    file = str(tmp_path / 'squares.ttf')
    builder.save(file)
    _forget_fonts()
    monkeypatch.setattr(fonts, 'findSystemFonts', lambda: [file])
    yield file
    _forget_fonts()


@pytest.fixture
def no_other_font(monkeypatch):
    """Matplotlib's font is the only one."""
    _forget_fonts()
    monkeypatch.setattr(fonts, '_installed_fonts', tuple)
    yield
    _forget_fonts()


def _forget_fonts():
    for cached in (fonts.font_runs, fonts._font_with, fonts._letters_of, fonts._installed_fonts, fonts._warn_of_lost):
        if hasattr(cached, 'cache_clear'):
            cached.cache_clear()


def _drawn(text, **options):
    canvas = Image.new('RGB', (60, 30), (9, 9, 9))
    drawing.draw_text(canvas, (0, 0), text, 20, (0, 0, 0), **options)
    return np.array(canvas)[..., 0]


def test_letters_of_another_script_are_drawn_in_an_installed_font_that_has_them(chinese_font):
    """Squares of 20 x 20 pixels, two of them, behind 2 pixels of margin, on the line of the Latin letters."""
    assert fonts.font_runs('a 细胞b') == (('a ', fonts.USUAL), ('细胞', chinese_font), ('b', fonts.USUAL))
    assert drawing.text_size('细胞', 20) == (44, 20 + drawing.font(20).getmetrics()[1])
    inside = _drawn('细胞') == 255
    assert inside.sum() == 20 * 40
    assert inside[:, 2:42].any(axis=0).all()
    assert inside.any(axis=1).nonzero()[0].tolist() == list(range(20))


def test_the_font_of_the_option_comes_first(chinese_font, no_other_font, caplog):
    image = np.zeros((64, 64, 3), np.uint8)
    visualizer = RegionVisualizer(name='font', font=chinese_font)
    assert visualizer.font_file == chinese_font
    visualizer.dataset_meta = {}
    assert visualizer.draw(image).shape[2] == 3
    assert (_drawn('细胞', file=chinese_font) == 255).sum() == 20 * 40
    assert fonts.find_font('DejaVu Sans') == fonts.USUAL
    with pytest.raises(ValueError, match="font 'Nonesuch' is neither the file of a font nor.*'DejaVu Sans'"):
        RegionVisualizer(name='other', font='Nonesuch')
    with pytest.raises(ValueError, match='neither the file of a font'):
        RegionVisualizer(name='another', font=__file__)


def test_letters_that_no_font_has_are_warned_of_once(no_other_font, monkeypatch):
    said = []
    monkeypatch.setattr(fonts, 'print_log', lambda message, *_: said.append(message))
    for name in ('daisy', '细胞', '세포'):
        drawing.text_size(name, 12)
    assert len(said) == 1
    assert "visualizer=dict(font='path/to/font.ttf')" in said[0]


def test_the_confusion_matrix_has_them_too(chinese_font, tmp_path, recwarn):
    path = str(tmp_path / 'matrix.png')
    confusion_picture.draw_confusion_matrix(np.eye(3, dtype=int), ['细胞', 'b'], path)
    assert cv2.imread(path) is not None
    assert not [warning for warning in recwarn if 'missing from font' in str(warning.message)]
