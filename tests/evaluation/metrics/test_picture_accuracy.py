"""PictureAccuracy, against answers by hand, torchmetrics, mmpretrain's Accuracy, and itself in two processes."""

import math
import warnings

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample
from torchmetrics.functional.classification import multiclass_accuracy

from deepunetto_mm.registry import METRICS

TAXONOMY = dict(
    classes=['ground', 'apple', 'pear', 'lime'],
    groups=[
        dict(name='apple', members=['apple'], fine_classes=['gala', 'fuji']),
        dict(name='pear', members=['pear'], fine_classes=['anjou', 'kaiser']),
        dict(name='lime', members=['lime'], fine_classes=['lime']),
    ],
)
GALA, FUJI, ANJOU, KAISER, LIME = range(5)
GROUPS = [0, 0, 1, 1, 2]


def picture(label, *regions):
    """A picture with regions, each its area and its K scores, or its fine class for a score of 1."""
    sample = SegDataSample(metainfo=dict(img_path='shop/017.jpg'))
    scores = [torch.eye(5)[fine] if isinstance(fine, int) else torch.tensor(fine) for _, fine in regions]
    sample.pred_regions = InstanceData(
        areas=torch.tensor([area for area, _ in regions], dtype=torch.long),
        fine_scores=torch.stack(scores) if scores else torch.zeros(0, 5),
    )
    if label is not None:
        sample.set_data(dict(gt_label=torch.tensor([label])))
    return sample


def classified(label, scores):
    """A picture as mmpretrain's classifiers return it."""
    return DataSample(metainfo=dict(img_path='shop/018.jpg')).set_gt_label(label).set_pred_score(torch.tensor(scores))


def evaluate(*samples, **options):
    """What the evaluator reports, with every warning an error."""
    evaluator = Evaluator(dict(type='deepunetto_mm.PictureAccuracy', **options))
    evaluator.dataset_meta = dict(taxonomy=TAXONOMY)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for sample in samples:
            evaluator.process([sample])
        return evaluator.evaluate(len(samples))


def scores(fine, generic):
    return {'picture/fine': fine, 'picture/generic': generic}


def accuracies(*samples, **options):
    """The two figures that every network has."""
    result = evaluate(*samples, **options)
    return {key: result[key] for key in ('picture/fine', 'picture/generic')}


def test_right_wrong_and_right_in_general():
    assert accuracies(picture(GALA, (9, GALA))) == scores(100, 100)
    assert accuracies(picture(GALA, (9, FUJI))) == scores(0, 100)
    assert accuracies(picture(GALA, (9, ANJOU))) == scores(0, 0)
    three = picture(GALA, (9, GALA)), picture(GALA, (9, FUJI)), picture(GALA, (9, ANJOU))
    assert accuracies(*three) == scores(33.33, 66.67)


def test_regions_vote_by_area_times_score():
    # Gala 10 * 0.6 = 6, fuji 10 * 0.4 + 4 * 1 = 8.
    assert accuracies(picture(FUJI, (10, [0.6, 0.4, 0, 0, 0]), (4, FUJI))) == scores(100, 100)
    # Gala 6, fuji 4 + 1: the largest region decides.
    assert accuracies(picture(GALA, (10, [0.6, 0.4, 0, 0, 0]), (1, FUJI))) == scores(100, 100)
    # Three small limes outvote one large pear: 3 * 4 * 1 against 10 * 1.
    assert accuracies(picture(LIME, (4, LIME), (10, KAISER), (4, LIME), (4, LIME))) == scores(100, 100)


def test_the_generic_class_is_that_of_the_name():
    # Apples have 12 of 22 votes, and yet kaiser has the most of all fine classes.
    votes = (12, [0.5, 0.5, 0, 0, 0]), (10, KAISER)
    assert accuracies(picture(KAISER, *votes)) == scores(100, 100)
    assert accuracies(picture(ANJOU, *votes)) == scores(0, 100)


def test_of_equal_votes_the_first_class():
    assert accuracies(picture(FUJI, (5, LIME), (5, FUJI))) == scores(100, 100)


def test_a_picture_without_region_is_wrong():
    assert accuracies(picture(GALA)) == scores(0, 0)
    assert accuracies(picture(GALA), picture(LIME, (3, LIME))) == scores(50, 50)


def test_a_score_that_is_no_number_names_nothing():
    assert accuracies(picture(GALA, (5, [math.nan] * 5))) == scores(0, 0)


def test_pictures_without_label_count_for_nothing():
    assert accuracies(picture(None, (3, LIME)), picture(None), picture(LIME, (3, LIME))) == scores(100, 100)
    assert all(math.isnan(value) for value in evaluate(picture(None, (3, LIME))).values())


def test_height_of_mistakes():
    # Right; of the same kind; of another kind; without a name: (1 + 2 + 2) / 3.
    pictures = picture(GALA, (9, GALA)), picture(GALA, (9, FUJI)), picture(GALA, (9, LIME)), picture(GALA)
    assert evaluate(*pictures)['picture/mistake_height'] == 1.67
    assert evaluate(picture(GALA, (9, FUJI)))['picture/mistake_height'] == 1
    assert evaluate(picture(GALA, (9, GALA)), picture(None, (9, LIME)))['picture/mistake_height'] == 0


def opinions(label, fine, group):
    """A picture that a classifier names twice, by a fine class and by a group."""
    sample = classified(label, torch.eye(5)[fine].tolist())
    sample.set_field(torch.eye(3)[group], 'pred_generic_score')
    return sample


def test_a_classifier_may_have_an_opinion_of_its_own_on_the_generic_class():
    both = opinions(GALA, GALA, 0), opinions(GALA, FUJI, 0), opinions(GALA, ANJOU, 0), opinions(LIME, LIME, 1)
    assert evaluate(*both) == {
        'picture/fine': 50,
        'picture/generic': 75,  # all but the last, which is right in particular
        'picture/consistency': 50,  # an anjou is no apple, a lime no pear
        'picture/mistake_height': 1.5,  # of fuji and anjou
    }
    # Others have one opinion, and are always consistent.
    assert 'picture/consistency' not in evaluate(classified(GALA, [0.2, 0.3, 0.5, 0, 0]))


def test_prefix():
    assert set(evaluate(picture(GALA), prefix='shelf')) == {'shelf/fine', 'shelf/generic', 'shelf/mistake_height'}


def test_half_precision_scores():
    sample = picture(FUJI, (10, [0.6, 0.4, 0, 0, 0]), (4, FUJI))
    sample.pred_regions.fine_scores = sample.pred_regions.fine_scores.bfloat16()
    assert accuracies(sample) == scores(100, 100)


def random_pictures(count):
    """Pictures with up to three regions, every fifth without label."""
    generator = torch.Generator().manual_seed(0)
    pictures = []
    for index in range(count):
        areas = torch.randint(1, 100, (int(torch.randint(0, 4, (), generator=generator)),), generator=generator)
        regions = [(int(area), torch.rand(5, generator=generator).softmax(0).tolist()) for area in areas]
        label = int(torch.randint(0, 5, (), generator=generator))
        pictures.append(picture(None if index % 5 == 0 else label, *regions))
    return pictures


def test_agrees_with_torchmetrics_and_mmpretrain_on_a_classifier():
    logits, labels = 2 * torch.rand(60, 5), torch.randint(0, 5, (60,))
    logits[torch.arange(60), labels] += 0.5
    probs, groups = logits.softmax(1), torch.tensor(GROUPS)
    samples = [classified(int(label), row.tolist()) for row, label in zip(probs, labels)]
    ours = accuracies(*samples)
    named = probs.argmax(1)
    fine = multiclass_accuracy(named, labels, 5, average='micro')
    generic = multiclass_accuracy(groups[named], groups[labels], 3, average='micro')
    assert ours == scores(round(100 * fine.item(), 2), round(100 * generic.item(), 2))
    theirs = Accuracy()
    theirs.process(None, [sample.to_dict() for sample in samples])
    assert ours['picture/fine'] == pytest.approx(theirs.evaluate(60)['accuracy/top1'], abs=0.01)
    assert 20 < ours['picture/fine'] < ours['picture/generic'] < 100


def test_two_processes_report_what_one_does(evaluate_in_two_processes):
    pictures = random_pictures(23)
    one = evaluate(*pictures)
    assert 0 < one['picture/fine'] < one['picture/generic'] < 100
    assert evaluate_in_two_processes('PictureAccuracy', dict(taxonomy=TAXONOMY), pictures) == [one, one]


def test_one_record_of_integers_a_picture():
    metric = METRICS.build(dict(type='PictureAccuracy'))
    metric.dataset_meta = dict(taxonomy=TAXONOMY)
    metric.process(None, [sample.to_dict() for sample in (picture(GALA, (2, FUJI)), picture(None), picture(LIME))])
    assert metric.results == [(GALA, FUJI, -1), (-1, -1, -1), (LIME, -1, -1)]
    assert {type(number) for record in metric.results for number in record} == {int}


def test_errors_name_the_picture():
    bare = SegDataSample(metainfo=dict(img_path='shop/019.jpg'))
    with pytest.raises(ValueError, match='shop/019.jpg: the data sample has neither pred_regions'):
        evaluate(bare)
    with pytest.raises(ValueError, match=r'shop/017.jpg: gt_label must be one fine class from 0 to 4, got \[5\]'):
        evaluate(picture(5, (2, GALA)))
    with pytest.raises(ValueError, match=r'shop/018.jpg: pred_score must have .* 5 fine classes, got .* \(1, 3\)'):
        evaluate(classified(0, [0.2, 0.3, 0.5]))
    sample = opinions(GALA, GALA, 0)
    sample.pred_generic_score = torch.rand(2)
    with pytest.raises(ValueError, match=r'shop/018.jpg: pred_generic_score must have .* 3 groups, got .* \(2,\)'):
        evaluate(sample)
    sample = picture(GALA, (2, GALA))
    sample.pred_regions.fine_scores = torch.rand(1, 4)
    with pytest.raises(ValueError, match=r'shop/017.jpg: pred_regions.fine_scores must have .* \(1, 4\)'):
        evaluate(sample)


def test_without_taxonomy():
    metric = METRICS.build(dict(type='PictureAccuracy'))
    metric.dataset_meta = dict(classes=['a'])
    with pytest.raises(ValueError, match="PictureAccuracy: the dataset's metainfo has no 'taxonomy'"):
        metric.process(None, [picture(GALA).to_dict()])
