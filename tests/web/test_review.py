"""Test data, compared with their annotation."""

import threading

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

pytest.importorskip('fastapi')

from fastapi.testclient import TestClient

from deepunetto_mm.apis import load_model
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.web import Gallery, Review, TrainedModel, make_app


@pytest.fixture
def inferencer():
    inferencer = load_model('deepunetto_shapes', device='cpu', show_progress=False)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
    shapes = dict(type='deepunetto_mm.RodConeShapes', num_scenes=2, seed=4, size=(64, 64), pipeline=pipeline)
    inferencer.cfg.test_dataloader = dict(dataset=dict(shapes, test_mode=True))
    return inferencer


@pytest.fixture
def scenes():
    return RodConeShapes(num_scenes=2, seed=4, size=(64, 64))


def _run(review):
    review.start()
    review._thread.join(60)
    return review.describe(0)


def test_errors_are_those_that_were_made(inferencer, scenes, monkeypatch):
    """The answer is the annotation, but the first region has the next name, and the last one is missing."""

    def test_step(batch):
        (sample,) = batch['data_samples']
        truth = sample.gt_regions
        kept = torch.arange(len(truth) - 1)
        found = truth[kept]
        found.fine_labels = found.fine_labels.clone()
        if len(found):
            found.fine_labels[0] += 1 - 2 * (found.fine_labels[0] % 4 == 3).int()  # within its kind
        found.fine_scores = torch.nn.functional.one_hot(found.fine_labels, 12).float()
        sample.pred_regions = found
        is_kept = torch.isin(sample.gt_region_map.data, found.ids)
        sample.pred_region_map = PixelData(data=sample.gt_region_map.data * is_kept)
        sample.pred_fine_seg = PixelData(data=torch.zeros_like(sample.gt_sem_seg.data))
        sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data * is_kept)
        return [sample]

    monkeypatch.setattr(inferencer.model, 'test_step', test_step)
    found = _run(Review(inferencer, threading.Lock()))
    assert (found['total'], found['error']) == (2, '')
    for index, picture in enumerate(found['pictures']):
        expected = [[label, label] for label in scenes[index]['regions']['fine_labels'].tolist()]
        assert len(expected) > 1
        expected[0][1] += -1 if expected[0][1] % 4 == 3 else 1
        expected[-1][1] = 12
        assert picture == dict(name=f'shapes_seed4_0000{index}.png', pairs=expected)


def test_a_picture_is_opened_with_its_errors(inferencer, scenes):
    gallery = Gallery(TrainedModel(inferencer, 'shapes'))
    review = Review(inferencer, gallery.lock)
    client = TestClient(make_app(gallery, review), base_url='http://127.0.0.1:8000')
    assert client.get('/api/model').json()['review'] is True
    assert client.post('/api/review/1').status_code == 404
    assert client.post('/api/review').json()['error'] == ''
    _run(review)
    assert len(client.get('/api/review?start=1').json()['pictures']) == 1
    answer = client.post('/api/review/1')
    assert answer.status_code == 201
    objects = len(scenes[1]['regions']['ids'])
    assert answer.json()['notes'][0].startswith('Against its annotation: ')
    assert f' of {objects} right' in answer.json()['notes'][0]
    (picture,) = gallery.pictures
    ids = np.frombuffer(client.get('/api/pictures/1/regions').content, '<u2')
    assert ids.size == 64 * 64
    assert picture.name == 'shapes_seed4_00001.png'


def test_missing_data_are_an_error_in_words(inferencer):
    inferencer.cfg.test_dataloader.dataset = dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root='nowhere',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(taxonomy=inferencer.taxonomy.to_dict()),
    )
    found = _run(Review(inferencer, threading.Lock()))
    assert found['pictures'] == []
    assert 'nowhere' in found['error']
