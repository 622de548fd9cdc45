import re

import pytest

from deepunetto_mm.datasets import DataError
from deepunetto_mm.datasets.label_table import read_label_table
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['background', 'cell'],
        groups=[dict(name='cell', members=['cell'], fine_classes=['round', 'long, thin'])],
    )
)


def _read(tmp_path, content, split=None):
    file = tmp_path / 'labels.csv'
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {image: (entry.line, entry.names) for image, entry in read_label_table(str(file), TAXONOMY, split).items()}


def test_rows_by_image(tmp_path):
    assert _read(tmp_path, 'image,fine_class\na,round\n\n sub/b , "long, thin"\nc,\n'.replace(', "', ',"')) == {
        'a': (2, 'round'),
        'sub/b': (4, 'long, thin'),
        'c': (5, None),
    }


def test_rows_by_region_beside_rows_by_image(tmp_path):
    text = 'fine_class,image,region\nround,a,7\n,a,255\n"long, thin",a,65535\nround,b,\n'
    assert _read(tmp_path, text) == {'a': (2, {7: 'round', 65535: 'long, thin'}), 'b': (5, 'round')}


def test_split_selects_rows(tmp_path):
    text = 'split,image,fine_class\ntrain,001,round\nval,001,\nval,002,round\n'
    assert _read(tmp_path, text, 'train') == {'001': (2, 'round')}
    assert _read(tmp_path, text, 'val') == {'001': (3, None), '002': (4, 'round')}


def test_spreadsheet_export(tmp_path):
    """A byte order mark and carriage returns, as Excel writes them."""
    assert _read(tmp_path, b'\xef\xbb\xbfimage,fine_class\r\na,round\r\n') == {'a': (2, 'round')}


@pytest.mark.parametrize(
    ('content', 'split', 'message'),
    [
        ('', None, 'labels.csv: empty; the first line lists the columns'),
        ('image,fine_class\n', None, 'labels.csv: no row under the header'),
        (b'image,fine_class\na,caf\xe9\n', None, 'labels.csv: not a UTF-8 text'),
        ('image,fine_class\na,"round\n', None, 'line 2: not CSV'),
        ('image,name\na,round\n', None, "line 1: .* missing columns ['fine_class'], unknown columns ['name']"),
        ('image|fine_class\na|round\n', None, 'separated by commas'),
        ('image,image,fine_class\na,a,round\n', None, "repeated columns ['image']"),
        ('image,fine_class\na,long, thin\n', None, 'line 2: 3 cells under a header of 2 columns'),
        ('image,fine_class\n,round\n', None, "line 2: the cell 'image' is empty"),
        (
            'image,fine_class\na,round\nb,Round\n',
            None,
            "line 3: 'Round' is not a fine class of the taxonomy, which has",
        ),
        ('image,fine_class\na,round\nb,\na,\n', None, "line 4: image 'a' has a row on line 2 already"),
        ('image,region,fine_class\na,3,\na,3,\n', None, "line 3: region 3 of image 'a' has a row on line 2 already"),
        ('image,region,fine_class\na,,round\na,3,round\n', None, "line 3: image 'a' has a row without region and rows"),
        ('image,region,fine_class\na,3,round\na,,round\n', None, '(see line 2)'),
        ('image,region,fine_class\na,0,round\n', None, "line 2: '0' is not a region id"),
        ('image,region,fine_class\na,65536,round\n', None, "'65536' is not a region id; write its value in the"),
        ('image,region,fine_class\na,1.0,round\n', None, "'1.0' is not a region id"),
        # Python makes no number of it.
        (f'image,region,fine_class\na,{"9" * 5000},round\n', None, "line 2: '9999"),
        (f'image,fine_class\na,{"b" * 200_000}\n', None, 'line 2: not CSV (field larger than field limit'),
        ('image,fine_class\na,round\n', 'train', "no column 'split' to select split='train' from"),
        ('split,image,fine_class\ntrain,a,round\n', None, "the column 'split' has ['train']; set split="),
        ('split,image,fine_class\ntrain,a,round\n', 'val', "no row of split='val'; the column 'split' has ['train']"),
    ],
)
def test_errors_name_file_line_and_fix(tmp_path, content, split, message):
    with pytest.raises(DataError, match='.*'.join(re.escape(part) for part in message.split('.*'))) as caught:
        _read(tmp_path, content, split)
    assert str(tmp_path / 'labels.csv') in str(caught.value)


def test_long_cells_are_quoted_in_part(tmp_path):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, f'image,fine_class\na,{"b" * 100_000}\n')
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'labels.csv'}, line 2: 'bbb")
    assert message.endswith('fix the row or add the name to the taxonomy')
    assert len(message) < 2100


def test_no_table(tmp_path):
    with pytest.raises(DataError, match='no such file; write the table of fine labels, or set fine_label_file=None'):
        read_label_table(str(tmp_path / 'labels.csv'), TAXONOMY)
