import pytest

from deepunetto_mm.annotations import read_annotations
from deepunetto_mm.utils.errors import DataError, UsageError


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


def test_what_masks_are_is_said_of_folders_of_masks_only(annotated, tmp_path):
    annotated.write_labelme(tmp_path / 'a.json', [annotated.shape('cell', annotated.box(1, 2, 8, 8))])
    message = r"--masks-are ids is for folders of pictures and masks, and .* is read as 'labelme' \(.*\): leave it out"
    with pytest.raises(UsageError, match=message):
        read_annotations(str(tmp_path), masks_are='ids')


@pytest.mark.parametrize(
    ('file', 'text', 'hint'),
    [
        ('a.json', '{"a.jpg1": {"regions": [{"shape_attributes": {}}]}}', 'JSON of the VGG Image Annotator'),
        ('a.json', '{"objects": [{"classTitle": "cat"}]}', 'JSON of Supervisely'),
        ('a.json', '[{"annotations": [{"type": "polygonlabels"}]}]', "Label Studio's own JSON"),
        ('a.json', '{"info": {"description": "ISAT"}, "objects": []}', "ISAT's own JSON: export COCO"),
        ('a.geojson', '{"type": "FeatureCollection"}', 'GeoJSON, as of QuPath: export masks'),
        ('a.csv', 'ImageId,EncodedPixels\n1,1 3\n', 'run lengths: draw them as masks'),
        ('a.csv', 'image,MEL,NV\n1,0,1\n', 'has not the columns image and fine_class'),
        ('a.xml', '<annotation><object><bndbox></bndbox></object></annotation>', 'boxes of Pascal VOC'),
        ('a.txt', '0 0.5 0.5 0.1 0.1\n', 'boxes of YOLO'),
        ('a.txt', '0 0.1 0.1 0.2 0.2 0.1 0.2\n', 'polygons of YOLO-seg, without a data.yaml'),
        ('below/a.csv', 'image,label\n1,cat\n', 'a table of a folder below: write one'),
        ('a.xlsx', '', 'a spreadsheet: save it as CSV'),
        ('a.npy', '', 'an array: write PNG or TIFF'),
        ('a.zip', '', 'an archive: unpack it'),
        ('a.HEIC', '', 'a photograph of a camera: write PNG or JPEG'),
        ('a.mp4', '', 'a film: write its pictures'),
    ],
)
def test_what_other_tools_write_is_refused_with_a_way_out(annotated, tmp_path, file, text, hint):
    annotated.write_picture(tmp_path / 'a.jpg')
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=f'{file} .*{hint}'):
        read_annotations(str(tmp_path))


def test_tables_that_are_not_read_are_named(annotated, tmp_path):
    annotated.write_picture(tmp_path / 'images/a.png')
    annotated.write_map(tmp_path / 'masks/a.png', annotated.RING.astype('uint8'))
    for path in ('labels.csv', '_classes.csv', 'images/labels.csv', 'names.xlsx', 'masks/_classes.csv'):
        (tmp_path / path).write_text('image,fine_class\na,round\n')
    notes = read_annotations(str(tmp_path))[1].notes
    first = tmp_path / 'images/labels.csv'
    assert notes[-1] == f'2 tables are not read, such as {first}: names are in CSV files in {tmp_path} itself'


def test_a_table_beside_annotations_that_have_the_names_is_not_read_and_said(annotated, tmp_path):
    annotated.write_labelme(tmp_path / 'a.json', [annotated.shape('cell', annotated.box(1, 2, 8, 8))])
    for name in ('Labels.CSV', 'classes.csv'):
        (tmp_path / name).write_text('image,fine_class\na,round\n')
    form, found = read_annotations(str(tmp_path))
    assert form == 'labelme'
    table = tmp_path / 'Labels.CSV'
    assert found.notes == [f'2 tables are not read, such as {table}: names are in the annotations themselves (labelme)']


def test_a_folder_that_has_too_little_says_what_is_missing(annotated, tmp_path):
    with pytest.raises(DataError, match=r'0 files \(none\), .*: the folder is empty; docs/plan.md'):
        read_annotations(str(tmp_path))
    annotated.write_picture(tmp_path / 'a.jpg')
    with pytest.raises(DataError, match=r'1 files \(.jpg\), .*: pictures alone: annotate some, .* or sort them'):
        read_annotations(str(tmp_path))


def test_masks_that_belong_to_no_picture_are_no_classes(annotated, tmp_path):
    for name in 'abc':
        annotated.write_picture(tmp_path / f'images/{name}.png')
        annotated.write_map(tmp_path / f'masks/{name}_cat.png', annotated.RING.astype('uint8'))
        annotated.write_map(tmp_path / f'masks/{name}_dog.png', annotated.RING.astype('uint8'))
    with pytest.raises(DataError, match='none of 6 masks has the name of a picture, such as .*a_cat.png'):
        read_annotations(str(tmp_path))


def test_hidden_folders_are_left_out_and_those_above_are_not(annotated, tmp_path):
    root = tmp_path / '.cache/data'
    for path in ('a.json', '.ipynb_checkpoints/a-checkpoint.json'):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        annotated.write_labelme(root / path, [annotated.shape('cell', annotated.box(1, 2, 8, 8))])
    assert [scene.name for scene in read_annotations(str(root))[1].scenes] == ['a']
