import pytest

from deepunetto_mm.evaluation import FineGrainedMetric, PictureAccuracy
from deepunetto_mm.evaluation.dataset_taxonomy import dataset_taxonomy
from deepunetto_mm.structures import TaxonomyError

TAXONOMY = dict(
    classes=['ground', 'fruit'], groups=[dict(name='fruit', members=['fruit'], fine_classes=['kiwi', 'lime'])]
)


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
