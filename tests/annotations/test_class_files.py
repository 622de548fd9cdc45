import json

import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError


@pytest.mark.parametrize(
    ('content', 'classes', 'composed'),
    [
        (['sky', 'ring', 'square'], None, None),
        (
            dict(stuff=['sky'], kinds=dict(thing=['ring', 'square'])),
            ['sky', 'thing'],
            ['sky', 'ring', 'square'],
        ),
        (dict(taxonomy=dict(classes=['sky', 'ring', 'square'])), ['sky', 'ring', 'square'], None),
    ],
)
def test_classes_have_names_in_several_forms(tree, content, classes, composed):
    (tree / 'classes.json').write_text(json.dumps(content))
    _, found = read_annotations(str(tree))
    assert found.classes == (content if classes is None else None)
    assert (found.taxonomy or {}).get('classes') == classes
    assert found.composed == composed


def test_other_files_of_classes_are_refused(tree):
    (tree / 'classes.json').write_text('{"names": []}')
    with pytest.raises(DataError, match='a list of the names of the mask values'):
        read_annotations(str(tree))


@pytest.mark.parametrize(
    ('file', 'text'),
    [
        ('classes.txt', 'sky\nring\r\nsquare\n'),
        ('class_names.txt', '__ignore__\nsky\nring\nsquare\n'),
        ('train/_classes.csv', 'Pixel Value, Class\n0, sky\n1, ring\n2, square\n'),
        ('train/_classes.csv', 'Pixel Value, Class\n2, square\n0, sky\n1, ring\n'),
        ('class_dict.csv', 'name,r,g,b\nsky,0,0,0\nring, 255, 0, 0\r\nsquare,0,255,0\n'),
    ],
)
def test_lists_of_names_of_other_tools(tree, file, text):
    (tree / file).parent.mkdir(exist_ok=True)
    (tree / file).write_text(text)
    _, found = read_annotations(str(tree))
    assert found.classes == ['sky', 'ring', 'square']
    assert found.colours == ({0: 0, 0xFF0000: 1, 0x00FF00: 2} if file == 'class_dict.csv' else {})


@pytest.mark.parametrize(
    ('file', 'text', 'message'),
    [
        (
            'classes.txt',
            'sky\n\nring\nsquare\n',
            'line 2: no name, and a name in a line is that of the next mask value',
        ),
        ('codes.txt', '\nsky\nring', 'line 1: no name'),
        ('_classes.csv', 'Pixel Value, Class\n0, sky\n2, ring\n', r"'Pixel Value' has \['0', '2'\]; .*from 0 to 1"),
        ('_classes.csv', 'Pixel Value, Class\n0, sky\n0, ring\n', r"'Pixel Value' has \['0', '0'\]; .* each once"),
        (
            'class_dict.csv',
            'name,r,g,b\nsky,0,0,0\nring,255,0,0\nsquare, 255, 0, 0\n',
            "'ring' and 'square' have the same colour, 255,0,0; take one out",
        ),
        (
            'labelmap.txt',
            'void:0,0,0::\nring:255,0,0::\nbackground:0,0,0::\n',
            "'background' and 'void' have the same colour, 0,0,0",
        ),
    ],
)
def test_lists_of_names_that_contradict_themselves_are_refused(tree, file, text, message):
    (tree / file).write_text(text)
    with pytest.raises(DataError, match=rf'{file}.*{message}'):
        read_annotations(str(tree))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(kinds=dict(top='shirt')), 'a list of the names of the mask values'),
        (dict(stuff='sky', kinds=dict(top=['shirt'])), 'a list of the names of the mask values'),
        (dict(classes=['sky', 'sky']), r"segmentation class listed more than once: \['sky'\]; fix the file"),
    ],
)
def test_faults_in_the_file_of_classes_name_it(tree, content, message):
    (tree / 'classes.json').write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf'classes\.json: {message}'):
        read_annotations(str(tree))
