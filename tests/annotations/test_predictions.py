import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from deepunetto_mm.annotations import read_annotations, write_dataset
from deepunetto_mm.annotations.pictures import read_map
from deepunetto_mm.apis.prediction_files import write_taxonomy
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import DataError

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['glass', 'rim', 'body', 'wire'],
        groups=[
            dict(name='cell', members=['rim', 'body'], fine_classes=['round', 'long']),
            dict(name='wire', members=['wire'], fine_classes=['thick', 'thin']),
        ],
    )
)


@pytest.fixture
def predicted(annotated, tmp_path):
    """A ring of rim around a body, and a wire; ``change`` gets the regions of the JSON file."""
    regions = annotated.RING + 2 * annotated.SQUARE.astype(np.uint16)
    classes = annotated.RING + 3 * annotated.SQUARE.astype(np.uint8)
    classes[6:8, 5:9] = 2
    picture = annotated.write_picture(tmp_path / 'new/ä.png')
    root = tmp_path / 'out'
    annotated.write_map(root / 'segmentation/ä.png', classes)
    annotated.write_map(root / 'regions/ä.png', regions)
    write_taxonomy(root, TAXONOMY)
    (root / 'predictions').mkdir()

    def read(change=lambda regions: None):
        listed = []
        for id_, group, name in ((1, 'cell', 'round'), (2, 'wire', 'thin')):
            code = coco_mask.encode(np.asfortranarray(regions == id_))
            code['counts'] = code['counts'].decode()
            listed.append(dict(id=id_, group=group, fine_class=name, mask=code))
        change(listed)
        record = dict(picture=str(picture), width=40, height=30, regions=listed)
        (root / 'predictions/ä.json').write_text(json.dumps(record))
        form, found = read_annotations(str(root))
        assert form == 'predictions'
        return found, regions, classes

    return read


def _table(written):
    return (written.root / 'labels.csv').read_text().splitlines()[1:]


def test_predictions_of_windows_and_pictures_beside_them(predicted, tmp_path):
    predicted()
    (tmp_path / 'new/ä.png').rename(tmp_path / 'out/ä.png')
    file = tmp_path / 'out/predictions/ä.json'
    record = json.loads(file.read_text())
    file.write_text(json.dumps(dict(record, picture='C:\\x\\ä.png')))
    (scene,) = read_annotations(str(tmp_path / 'out'))[1].scenes
    assert scene.picture == tmp_path / 'out/ä.png'


def test_predictions_are_training_data(predicted, tmp_path):
    found, regions, classes = predicted()
    written = write_dataset(found, tmp_path / 'data')
    assert written.taxonomy == TAXONOMY
    np.testing.assert_array_equal(read_map(tmp_path / 'data/regions/ä.png'), regions)
    np.testing.assert_array_equal(read_map(tmp_path / 'data/masks/ä.png'), classes)
    assert _table(written) == ['ä,1,round', 'ä,2,thin']


def test_corrected_names(predicted, tmp_path):
    def change(regions):
        regions[0]['fine_class'], regions[1]['fine_class'] = 'odd', ''

    found, *_ = predicted(change)
    assert found.notes == ['new fine classes: odd (cell)']
    written = write_dataset(found, tmp_path / 'data')
    assert written.taxonomy.groups[0].fine_classes == ('round', 'long', 'odd')
    assert _table(written) == ['ä,1,odd']


def test_a_region_that_was_taken_out_is_ignored(predicted, tmp_path):
    found, regions, classes = predicted(lambda regions: regions.pop(0))
    written = write_dataset(found, tmp_path / 'data')
    np.testing.assert_array_equal(read_map(tmp_path / 'data/regions/ä.png'), np.where(regions == 1, 0, regions))
    np.testing.assert_array_equal(read_map(tmp_path / 'data/masks/ä.png'), np.where(regions == 1, 255, classes))
    assert _table(written) == ['ä,2,thin']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda regions: regions[0].update(fine_class='thick'), "region 1: 'thick' is a name of 'wire'"),
        (lambda regions: regions[0].update(fine_class='glass'), "region 1: 'glass' is a class of pixels"),
        (lambda regions: regions[0].update(group='cells'), "region 1: no group 'cells'"),
        (lambda regions: regions[0].update(mask=regions[1]['mask']), 'region 1: its mask is not that of'),
        (lambda regions: regions[0].update(id=7), 'region 7: its mask is not that of'),
        (lambda regions: regions[0].pop('mask'), 'change names only'),
    ],
)
def test_what_does_not_fit_is_named(predicted, change, message):
    with pytest.raises(DataError, match=message):  # of the only picture
        predicted(change)


def test_files_that_are_missing(predicted, tmp_path):
    predicted()
    (tmp_path / 'new/ä.png').unlink()
    with pytest.raises(DataError, match=r'its picture .*ä.png is not there'):
        predicted()
    (tmp_path / 'new/ä.png').touch()
    (tmp_path / 'out/regions/ä.png').unlink()
    with pytest.raises(DataError, match=r'regions/ä.png is not there; predict'):
        predicted()
