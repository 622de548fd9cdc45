"""ISBI2012Metric, on cells drawn by hand."""

import math
import pickle

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample

from deepunetto_mm.registry import METRICS


def grid(rows):
    return np.array([[int(digit) for digit in row] for row in rows.split()])


def make_sample(gt, probability, channels=1, path='slice/20.png'):
    """A data sample; ``probability`` is that of cell, (H, W)."""
    gt, probability = (grid(array) if isinstance(array, str) else np.asarray(array) for array in (gt, probability))
    scores = torch.from_numpy(probability.astype(np.float32))[None]
    if channels == 2:
        # Any common offset is lost in the softmax.
        scores = torch.cat([torch.full_like(scores, -3), scores.logit(eps=1e-6) - 3])
    sample = SegDataSample(metainfo=dict(img_path=path))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(gt.astype(np.int64))[None])
    sample.set_data(dict(seg_logits=PixelData(data=scores)))
    return sample


def evaluate(*samples, **options):
    evaluator = Evaluator(dict(type='deepunetto_mm.ISBI2012Metric', **options))
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


# Two cells of 4x4 pixels, and a membrane of one pixel.
TWO = '111101111 111101111 111101111 111101111'


def test_the_truth_is_perfect():
    scores = evaluate(make_sample(TWO, TWO))
    assert scores == {
        'isbi/V_rand': 1,
        'isbi/V_rand_threshold': 0,
        'isbi/V_info': 1,
        'isbi/V_info_threshold': 0,
        'isbi/pixel_error': 0,
    }


@pytest.mark.parametrize('outside', ['0', '1'])
def test_one_segment_where_two_are(outside):
    """Without a membrane, and with nothing but membrane: p 1/2, 1/2; t as p; s 1."""
    scores = evaluate(make_sample(TWO, ' '.join([outside * 9] * 4)))
    assert scores['isbi/V_rand'] == pytest.approx((1 / 2) / ((1 / 2 + 1) / 2))
    assert scores['isbi/V_info'] == 0
    assert scores['isbi/pixel_error'] == pytest.approx(4 / 36 if outside == '1' else 32 / 36)


def test_a_split_counts_what_the_line_takes():
    """The right cell is cut by a line of 4 pixels into columns of 1 and 2: of 32 pixels 16, 4, 8 and 4 of 1."""
    scores = evaluate(make_sample(TWO, ' '.join(['111101011'] * 4)))
    areas = [16, 4, 8, 1, 1, 1, 1]
    squares = sum(n * n for n in areas) / 32**2
    entropy = -sum(n / 32 * math.log2(n / 32) for n in areas)
    assert scores['isbi/V_rand'] == pytest.approx(squares / ((1 / 2 + squares) / 2))
    assert scores['isbi/V_info'] == pytest.approx(1 / ((1 + entropy) / 2))
    assert scores['isbi/pixel_error'] == pytest.approx(4 / 36)


def test_the_width_of_predicted_membranes_does_not_matter():
    gt = np.ones((30, 41), int)
    gt[:, 20] = gt[14, :] = 0
    one, wide = gt.copy(), gt.copy()
    wide[:, 17:24] = wide[11:18, :] = 0
    thin, thick = evaluate(make_sample(gt, one)), evaluate(make_sample(gt, wide))
    assert thin['isbi/V_rand'] == thin['isbi/V_info'] == 1
    assert thick['isbi/V_rand'] == pytest.approx(1, abs=0.01)
    assert thick['isbi/V_info'] == pytest.approx(1, abs=0.02)
    assert thick['isbi/pixel_error'] > 0.25


def test_the_best_threshold_is_that_of_the_average():
    """The first membrane has a probability of cell of 0.35, the second one of 0.75, and a wrong one of 0.6."""
    first, second = (np.where(grid(TWO) == 1, 0.95, p) for p in (0.35, 0.75))
    first[:, 7] = 0.6
    # 0.4 to 0.5 and 0.8 to 0.9 part the cells of the one; 0.8 and 0.9 those of the other, and cut the first picture.
    scores = evaluate(make_sample(TWO, first), make_sample(TWO, second))
    split = evaluate(make_sample(TWO, ' '.join(['111101101'] * 4)))
    assert scores['isbi/V_rand'] == pytest.approx((1 + split['isbi/V_rand']) / 2)
    assert scores['isbi/V_rand_threshold'] == 0.8
    assert evaluate(make_sample(TWO, first))['isbi/V_rand_threshold'] == 0.4
    fixed = evaluate(make_sample(TWO, first), make_sample(TWO, second), thresholds=(0.5,))
    assert fixed['isbi/V_rand'] == pytest.approx((1 + 2 / 3) / 2)


def test_a_threshold_is_not_above_itself():
    half = np.where(grid(TWO) == 1, 1, 0.5)
    assert evaluate(make_sample(TWO, half), thresholds=(0.5,))['isbi/V_rand'] == 1


def test_ignored_pixels_do_not_count():
    gt = grid(TWO)
    gt[:2, 5:] = 255
    wrong = grid(TWO)
    wrong[:2, 5:] = 0  # grown over again, since nothing else is near
    scores = evaluate(make_sample(gt, wrong))
    assert scores['isbi/V_rand'] == scores['isbi/V_info'] == 1
    assert scores['isbi/pixel_error'] == 0


@pytest.mark.parametrize('channels', [1, 2])
def test_pictures_without_cells_are_left_out_of_averages(channels):
    empty = make_sample(np.zeros((3, 3)), np.full((3, 3), 0.9), channels)
    alone = evaluate(empty)
    assert all(math.isnan(alone[f'isbi/{key}']) for key in ('V_rand', 'V_info', 'V_rand_threshold'))
    assert alone['isbi/pixel_error'] == 1
    both = evaluate(empty, make_sample(TWO, TWO, channels))
    assert both['isbi/V_rand'] == 1
    assert both['isbi/pixel_error'] == pytest.approx(9 / 45)


def test_no_picture_and_nothing_but_ignored_pixels():
    metric = METRICS.build(dict(type='ISBI2012Metric'))
    assert all(math.isnan(value) for value in metric.compute_metrics([]).values())
    assert all(math.isnan(value) for value in evaluate(make_sample(np.full((2, 2), 255), np.ones((2, 2)))).values())


def test_two_channels_are_logits_and_one_is_a_probability():
    probability = np.random.rand(20, 20)
    gt = np.random.rand(20, 20) > 0.3
    one, two = (evaluate(make_sample(gt, probability, channels)) for channels in (1, 2))
    assert one == two
    logits = make_sample(gt, probability)
    logits.seg_logits.data = logits.seg_logits.data.logit()
    assert evaluate(logits, one_channel='logit') == pytest.approx(one)
    with pytest.raises(ValueError, match=r"slice/20.png.*not probabilities.*one_channel='logit'"):
        evaluate(logits)


@pytest.mark.parametrize('out_channels', [1, 2])
def test_reads_what_mmseg_writes(out_channels, mmseg_scope):
    """mmseg stores the probability of one channel and the logits of two under one name."""
    head = dict(type='FCNHead', in_channels=4, channels=4, num_convs=0, concat_input=False, num_classes=2)
    model = EncoderDecoder(
        backbone=dict(type='deepunetto_mm.UNet2015Encoder', channels=(4,)),
        decode_head=dict(head, out_channels=out_channels, threshold=0.5 if out_channels == 1 else None),
        test_cfg=dict(mode='whole'),
    )
    logit = torch.from_numpy(np.where(grid(TWO), 0.7, -0.7))[None, None].float()
    seg_logits = logit if out_channels == 1 else torch.cat([-logit / 2, logit / 2], dim=1)
    sample = make_sample(TWO, TWO)
    sample.set_metainfo(dict(ori_shape=(4, 9), img_shape=(4, 9)))
    (sample,) = model.postprocess_result(seg_logits, [sample])
    scores = evaluate(sample)
    assert scores['isbi/V_rand'] == 1
    assert scores['isbi/V_rand_threshold'] == 0.4  # above sigmoid(-0.7) = 0.33
    assert scores['isbi/pixel_error'] == 0


def test_one_record_a_picture_in_any_order():
    """What two processes gather is what one has, in another order, and pickled on the way."""
    rng = np.random.default_rng(0)
    samples = [make_sample(rng.random((24, 30)) > 0.3, rng.random((24, 30)), path=str(n)) for n in range(5)]
    one, first, second = (METRICS.build(dict(type='ISBI2012Metric')) for _ in range(3))
    one.process(None, [sample.to_dict() for sample in samples])
    first.process(None, [sample.to_dict() for sample in samples[1::2]])
    second.process(None, [sample.to_dict() for sample in samples[0::2]])
    assert len(one.results) == 5
    gathered = pickle.loads(pickle.dumps(second.results)) + pickle.loads(pickle.dumps(first.results))
    assert one.compute_metrics(gathered) == one.compute_metrics(one.results)


def test_errors_name_the_picture_and_the_fix():
    sample = make_sample(TWO, TWO)
    sample.gt_sem_seg.data[0, 0, 0] = 2
    with pytest.raises(ValueError, match=r'slice/20.png: gt_sem_seg, 0 for membrane and 1 for cell: labels \[2\]'):
        evaluate(sample)
    with pytest.raises(ValueError, match=r'slice/20.png: gt_sem_seg is \(4, 9\) and seg_logits \(2, 2\)'):
        evaluate(make_sample(TWO, np.ones((2, 2))))
    sample = make_sample(TWO, TWO)
    sample.seg_logits.data = torch.zeros(3, 4, 9)
    with pytest.raises(ValueError, match='3 channels'):
        evaluate(sample)
    del sample.seg_logits
    with pytest.raises(ValueError, match="no 'seg_logits'; the model must write it"):
        evaluate(sample)


@pytest.mark.parametrize('options', [dict(thresholds=()), dict(thresholds=(1.0,)), dict(one_channel='sigmoid')])
def test_wrong_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        METRICS.build(dict(type='ISBI2012Metric', **options))


def test_says_what_to_install(monkeypatch):
    monkeypatch.setattr('deepunetto_mm.unet2015.isbi2012_metric.find_spec', lambda name: None)
    with pytest.raises(ValueError, match='scikit-image: install it'):
        METRICS.build(dict(type='ISBI2012Metric'))
