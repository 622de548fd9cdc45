import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError


def test_no_such_folder(tmp_path):
    with pytest.raises(DataError, match=r'nowhere: no such folder'):
        read_annotations(str(tmp_path / 'nowhere'))


def test_nothing_that_is_known_lists_what_is_there_and_what_is_read(tmp_path):
    (tmp_path / 'a.doc').write_text('')
    (tmp_path / '.hidden.json').write_text('{}')
    with pytest.raises(DataError, match=r'1 files \(\.doc\), and no annotations that are known: .*Labelme.*COCO'):
        read_annotations(str(tmp_path))


def test_a_format_by_name_is_not_looked_for(annotated, tmp_path):
    annotated.write_labelme(tmp_path / 'a.json', [annotated.shape('cell', annotated.box(1, 2, 8, 8))])
    form, found = read_annotations(str(tmp_path))
    assert (form, len(found.scenes)) == ('labelme', 1)
    with pytest.raises(DataError, match='no data.yaml with the names'):
        read_annotations(str(tmp_path), 'yolo')
