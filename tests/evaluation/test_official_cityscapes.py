"""The functions of cityscapesscripts on two pictures of 4x5 pixels, with answers by hand."""

import cv2
import numpy as np
import pytest

pytest.importorskip('cityscapesscripts')

from deepunetto_mm.evaluation.official_cityscapes import official_labels, score_instances, score_pixels

ROAD, CAR = 7, 26


@pytest.fixture
def save(tmp_path):
    def save(name: str, array: np.ndarray) -> str:
        assert cv2.imwrite(str(tmp_path / name), array)
        return str(tmp_path / name)

    return save


@pytest.fixture
def truth(save):
    """A road, and a car of 2x3 pixels on it; files of labels and of instances."""
    labels, instances = np.full((4, 5), ROAD, np.uint8), np.full((4, 5), ROAD, np.uint16)
    labels[1:3, 1:4], instances[1:3, 1:4] = CAR, CAR * 1000
    files = save('a_gtFine_labelIds.png', labels), save('a_gtFine_instanceIds.png', instances)
    return labels, files


def test_the_table_has_ids_and_instances():
    assert (official_labels()['car'].id, official_labels()['car'].hasInstances) == (CAR, True)
    assert not official_labels()['road'].hasInstances


def test_pixels_by_hand(truth, save):
    labels, (label_file, _) = truth
    predicted = labels.copy()
    predicted[1, 1:4] = ROAD  # half of the car
    figures = score_pixels([save('a_pred.png', predicted)], [label_file])
    # The road has 14 of 17 pixels, the car 3 of 6; one object, so the car's own figure is the same.
    np.testing.assert_allclose(figures['IoU'], (14 / 17 + 3 / 6) / 2)
    np.testing.assert_allclose(figures['iIoU'], 3 / 6)
    np.testing.assert_allclose(figures['category_IoU'], (14 / 17 + 3 / 6) / 2)


@pytest.mark.parametrize(('columns', 'expected'), [(3, (1, 1)), (2, (0.4, 1)), (1, (0, 0))])
def test_instances_by_hand(save, tmp_path, columns, expected):
    """A car of 20x30 pixels, of which a prediction has 30, 20 or 10 columns: an IoU of 1, 2/3 or 1/3."""
    instances = np.full((40, 50), ROAD, np.uint16)
    instances[10:30, 10:40] = CAR * 1000
    mask = np.zeros((40, 50), np.uint8)
    mask[10:30, 10 : 10 + 10 * columns] = 255
    save('mask.png', mask)
    (tmp_path / 'a_pred.txt').write_text(f'mask.png {CAR} 0.9\n')
    figures = score_instances([str(tmp_path / 'a_pred.txt')], [save('a_gtFine_instanceIds.png', instances)])
    # 2/3 counts at 0.50, 0.55, 0.60 and 0.65 of ten thresholds.
    np.testing.assert_allclose((figures['AP'], figures['AP50']), expected, atol=1e-9)


def test_the_words_of_what_fails(truth, save):
    _, (label_file, _) = truth
    small = save('a_pred.png', np.full((3, 5), ROAD, np.uint8))
    with pytest.raises(ValueError, match='cityscapesscripts failed: .*heights of .* are not equal'):
        score_pixels([small], [label_file])
