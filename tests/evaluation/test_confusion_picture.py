"""The picture of a confusion matrix."""

import csv
import time
import warnings

import cv2
import numpy as np
import pytest

from deepunetto_mm.evaluation.confusion_picture import draw_confusion_matrix


@pytest.mark.parametrize('num_fine', [1, 4, 30])
def test_picture_grows_with_the_classes(tmp_path, num_fine):
    path = tmp_path / 'new' / 'folder' / 'confusion.png'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        draw_confusion_matrix(
            np.eye(num_fine + 1, dtype=np.int64) * 7, [f'class {k}' for k in range(num_fine)], str(path)
        )
    height, width = cv2.imread(str(path)).shape[:2]
    assert min(height, width) > 30 * num_fine


def test_rows_are_shares_of_the_true_class(tmp_path):
    # 3 of 4 'a' are named right: its cell is as dark as 75 %, whatever happens in the other rows.
    first, second = tmp_path / '1.png', tmp_path / '2.png'
    draw_confusion_matrix(np.array([[3, 1, 0], [0, 8, 0], [0, 0, 0]]), ['a', 'b'], str(first))
    draw_confusion_matrix(np.array([[3, 1, 0], [0, 8000, 0], [0, 0, 0]]), ['a', 'b'], str(second))
    colours = [{tuple(c) for c in cv2.imread(str(p)).reshape(-1, 3)} for p in (first, second)]
    blue_at_75_percent = (180, 112, 32)  # B, G, R of matplotlib's 'Blues' at 0.75, within rounding
    for found in colours:
        assert any(np.abs(np.subtract(blue_at_75_percent, c)).max() <= 4 for c in found)


def test_odd_names_are_drawn_as_they_are(tmp_path):
    path = tmp_path / 'confusion.png'
    draw_confusion_matrix(np.zeros((3, 3), np.int64), ['cheap $ and \\frac $', 'long ' * 30], str(path))
    assert max(cv2.imread(str(path)).shape) < 2000


def test_no_figure_is_left_behind(tmp_path):
    from matplotlib import pyplot

    draw_confusion_matrix(np.eye(3, dtype=np.int64), ['a', 'b'], str(tmp_path / 'confusion.png'))
    assert pyplot.get_fignums() == []


def test_hundreds_of_classes_make_no_larger_picture(tmp_path):
    path = tmp_path / 'confusion.png'
    confusion = np.full((201, 201), 1, np.int64)
    confusion[0, 2] = 70
    begin = time.process_time()
    draw_confusion_matrix(confusion, [f'class {k}' for k in range(200)], str(path))
    assert max(cv2.imread(str(path)).shape) < 3000
    assert time.process_time() - begin < 20  # a text a cell would take many minutes
    rows = list(csv.reader((tmp_path / 'confusion.csv').open()))
    assert len(rows) == 202
    assert rows[0][:3] + rows[0][-1:] == ['true class', 'class 0', 'class 1', 'not found']
    assert rows[1][:4] == ['class 0', '1', '1', '70']
    assert rows[-1][0] == 'no region'
