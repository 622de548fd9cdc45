import pytest
import torch

from deepunetto_mm.evaluation import FineGrainedMetric, PictureAccuracy
from deepunetto_mm.evaluation.inputs import confidences, dataset_taxonomy, require_fields
from deepunetto_mm.structures import TaxonomyError

TAXONOMY = dict(
    classes=['ground', 'fruit'], groups=[dict(name='fruit', members=['fruit'], fine_classes=['kiwi', 'lime'])]
)


def test_what_a_prediction_lacks_is_named():
    sample = dict(pred_fine_seg=0, pred_region_map=0, pred_regions=0)
    require_fields(sample, list(sample))
    for field in sample:
        with pytest.raises(ValueError, match=f"no '{field}'"):
            require_fields({key: value for key, value in sample.items() if key != field}, list(sample))


def test_confidence_is_that_of_region_times_that_of_name():
    regions = dict(
        scores=torch.tensor([0.5, 1.0]),
        fine_labels=torch.tensor([1, 0]),
        fine_scores=torch.tensor([[0.25, 0.75, 0.0], [0.125, 0.0, 0.875]]),
    )
    found = confidences(regions)
    assert found.dtype == torch.float64
    assert found.tolist() == [0.375, 0.125]


def test_no_region_has_no_confidence():
    none = dict(scores=torch.zeros(0), fine_labels=torch.zeros(0, dtype=torch.long), fine_scores=torch.zeros(0, 3))
    assert confidences(none).shape == (0,)


def test_the_dataset_s_own():
    metric = PictureAccuracy()
    metric.dataset_meta = dict(taxonomy=TAXONOMY)
    taxonomy = dataset_taxonomy(metric)
    assert taxonomy.fine_classes == ('kiwi', 'lime')
    assert taxonomy.composed_classes == ('ground', 'kiwi', 'lime')


@pytest.mark.parametrize('meta', [None, {}, dict(classes=['ground'])])
def test_none_is_an_error_that_names_the_metric(meta):
    metric = FineGrainedMetric()
    metric.dataset_meta = meta
    with pytest.raises(TaxonomyError, match="^FineGrainedMetric: the dataset's metainfo has no 'taxonomy'"):
        dataset_taxonomy(metric)
