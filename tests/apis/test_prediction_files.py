"""Predictions as values and files."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from pycocotools import mask as coco_mask

from deepunetto_mm.apis.prediction_files import describe_regions, write_prediction
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['sky', 'petal', 'leaf'],
        groups=[
            dict(name='flower', members=['petal'], fine_classes=['rose', 'daisy']),
            dict(name='plant', members=['leaf'], fine_classes=['fern']),
        ],
    )
)
REGION_MAP = torch.tensor([[0, 256, 256, 0], [4, 4, 256, 0], [4, 0, 0, 0]])


def make_sample():
    sample = SegDataSample()
    sample.set_data(
        dict(
            pred_sem_seg=PixelData(data=torch.tensor([[[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 0]]])),
            pred_region_map=PixelData(data=REGION_MAP[None]),
            pred_fine_seg=PixelData(data=torch.tensor([[[0, 2, 2, 0], [3, 3, 2, 0], [3, 0, 255, -1]]])),
            pred_regions=InstanceData(
                ids=torch.tensor([4, 256]),
                labels=torch.tensor([1, 0]),
                scores=torch.tensor([0.5, 0.875]),
                bboxes=torch.tensor([[0.0, 1, 2, 3], [1, 0, 3, 2]]),
                areas=torch.tensor([3, 3]),
                fine_labels=torch.tensor([2, 1]),
                fine_scores=torch.tensor([[0, 0, 1.0], [0.25, 0.625, 0.125]]),
            ),
        )
    )
    return sample


def test_description_of_regions():
    fern, daisy = describe_regions(make_sample(), TAXONOMY, top_k=2)
    for region, region_id in ((fern, 4), (daisy, 256)):
        np.testing.assert_array_equal(coco_mask.decode(region.pop('mask')), REGION_MAP.numpy() == region_id)
    assert fern == dict(
        id=4,
        bbox=[0, 1, 2, 3],
        area=3,
        group='plant',
        score=0.5,
        fine_class='fern',
        fine_score=1.0,
        top_k=[dict(fine_class='fern', score=1.0), fern['top_k'][1]],
    )
    assert daisy == dict(
        id=256,
        bbox=[1, 0, 3, 2],
        area=3,
        group='flower',
        score=0.875,
        fine_class='daisy',
        fine_score=0.625,
        top_k=[dict(fine_class='daisy', score=0.625), dict(fine_class='rose', score=0.25)],
    )


def test_top_k_beyond_the_number_of_classes():
    assert len(describe_regions(make_sample(), TAXONOMY, top_k=9)[0]['top_k']) == 3


def test_plain_segmentation_has_no_regions():
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, 2, 2, dtype=torch.long))
    assert describe_regions(sample, TAXONOMY, top_k=5) == []


def test_files_hold_the_prediction(tmp_path):
    drawing = np.zeros((5, 6, 3), np.uint8)
    drawing[..., 0] = 200
    record = dict(picture='a.png', regions=[dict(id=4)])
    files = write_prediction(tmp_path, 'a', record, make_sample(), lambda: drawing)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*') if path.is_file()}
    assert written == {
        'predictions/a.json',
        'segmentation/a.png',
        'composed/a.png',
        'regions/a.png',
        'visualizations/a.png',
    }
    assert set(files.values()) == {str(tmp_path / name) for name in written}
    with open(files['prediction']) as file:
        assert json.load(file) == record

    def read(kind):
        return cv2.imread(files[kind], cv2.IMREAD_UNCHANGED)

    assert read('segmentation').dtype == read('composed').dtype == np.uint8
    assert read('segmentation').tolist() == [[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 0]]
    assert read('composed').tolist() == [[0, 2, 2, 0], [3, 3, 2, 0], [3, 0, 255, 255]]
    assert read('regions').dtype == np.uint16
    assert read('regions').tolist() == REGION_MAP.tolist()
    assert (cv2.imread(files['visualization'])[..., ::-1] == drawing).all()


def test_files_of_plain_segmentation(tmp_path):
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, 2, 2, dtype=torch.long))
    files = write_prediction(tmp_path, 'a', {}, sample, None)
    assert set(files) == {'prediction', 'segmentation'}


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    write_prediction(tmp_path, 'a', dict(first=True), make_sample(), None)

    def fail(source, target):
        raise OSError('disk full')

    monkeypatch.setattr('os.replace', fail)
    with pytest.raises(OSError, match='disk full'):
        write_prediction(tmp_path, 'a', dict(first=False), make_sample(), None)
    assert json.loads((tmp_path / 'predictions' / 'a.json').read_text()) == dict(first=True)
    assert [path.name for path in (tmp_path / 'predictions').iterdir()] == ['a.json']


def test_ids_beyond_sixteen_bits(tmp_path):
    sample = make_sample()
    sample.pred_region_map = PixelData(data=REGION_MAP[None] * 300)
    sample.pred_sem_seg.data[0, 0, 0] = 300
    files = write_prediction(tmp_path, 'a', {}, sample, None)
    assert files['regions'] == str(tmp_path / 'regions/a.tif')
    with Image.open(files['regions']) as image:
        assert np.array_equal(image, sample.pred_region_map.data[0])
    assert np.array_equal(cv2.imread(files['segmentation'], cv2.IMREAD_UNCHANGED), sample.pred_sem_seg.data[0])


def test_what_was_found_is_kept_if_it_cannot_be_drawn(tmp_path):
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        write_prediction(tmp_path, 'a', dict(found=2), make_sample(), fail)
    assert json.loads((tmp_path / 'predictions' / 'a.json').read_text()) == dict(found=2)
    assert (tmp_path / 'regions/a.png').is_file()
