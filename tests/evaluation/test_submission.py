import os

import cv2
import numpy as np
import pytest
import torch

from deepunetto_mm.evaluation.submission import confidences, require_regions, write_png, write_whole


def test_what_a_prediction_lacks_is_named():
    sample = dict(pred_fine_seg=0, pred_region_map=0, pred_regions=0)
    require_regions(sample)
    for field in sample:
        with pytest.raises(ValueError, match=f"no '{field}'"):
            require_regions({key: value for key, value in sample.items() if key != field})


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


def test_a_png_reads_as_it_was_written(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_png(tmp_path / 'a.png', values)
    write_png(tmp_path / 'b.png', values[..., 0])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED), values)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED), values[..., 0])


def test_a_file_that_cannot_be_finished_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / 'instances.json'
    write_whole(path, b'old')

    def fail(*_):
        raise OSError('no space left')

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(OSError, match='no space left'):
        write_whole(path, b'new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['instances.json']
