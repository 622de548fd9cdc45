"""One record a picture, and errors that name it."""

import pytest

from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.structures import TaxonomyError


class Doubled(PictureMetric):
    def shared(self) -> int:
        return 2

    def record(self, sample: dict, shared: int) -> int:
        if sample['value'] < 0:
            raise ValueError('negative')
        return shared * sample['value']

    def compute_metrics(self, results: list) -> dict:
        return {}


class Silent(PictureMetric):
    compute_metrics = Doubled.compute_metrics


def test_each_picture_has_its_record_in_order():
    metric = Doubled()
    metric.process(None, [dict(value=3), dict(value=1)])
    metric.process(None, [])
    metric.process(None, [dict(value=5)])
    assert metric.results == [6, 2, 10]


def test_an_error_names_the_picture():
    with pytest.raises(ValueError, match='^b.png: negative$'):
        Doubled().process(None, [dict(value=1, img_path='a.png'), dict(value=-1, img_path='b.png')])
    with pytest.raises(ValueError, match='^a picture without img_path: negative$'):
        Doubled().process(None, [dict(value=-1)])


def test_what_a_metric_must_say():
    metric = Silent()
    metric.dataset_meta = dict(taxonomy=dict(classes=['a']))
    with pytest.raises(NotImplementedError, match='Silent needs a record'):
        metric.process(None, [{}])
    metric.dataset_meta = {}
    with pytest.raises(TaxonomyError):
        metric.process(None, [])
