import numpy as np
import pytest
from pycocotools import mask as coco_mask

from deepunetto_mm.ops import mask_runs, restore_numbers, run_length_code


def decoded(segmentation, height=4, width=5):
    return coco_mask.decode(run_length_code(segmentation, height, width)).tolist()


def test_the_polygons_of_an_annotation_are_one_mask():
    expected = [[0, 0, 0, 0, 0], [0, 1, 1, 0, 1], [0, 1, 1, 0, 1], [0, 0, 0, 0, 1]]
    assert decoded([[1, 1, 3, 1, 3, 3, 1, 3], [4, 1, 5, 1, 5, 4, 4, 4.0]]) == expected
    # Where they overlap, too.
    assert decoded([[1, 1, 3, 1, 3, 3, 1, 3], [4, 1, 5, 1, 5, 4, 4, 4], [2, 1, 3, 1, 3, 3, 2, 3]]) == expected


def test_codes_are_read_as_lists_and_as_strings():
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1], mask[0, 4] = 1, 1
    assert decoded(dict(size=[4, 5], counts=[5, 2, 9, 1, 3])) == mask.tolist()
    text = coco_mask.encode(np.asfortranarray(mask))['counts'].decode()
    assert decoded(dict(size=[4, 5], counts=text)) == mask.tolist()
    for counts in ([5, 2, 9, 1, 3], text):
        assert mask_runs(dict(size=[4, 5], counts=counts), 4, 5) == [5, 2, 9, 1, 3]
    assert mask_runs([[1, 1, 2, 1, 2, 3, 1, 3]], 4, 5) == [5, 2, 13]


def test_strings_of_all_kinds_of_masks_pass():
    """Long runs, runs that grow and shrink by much, and runs of no pixel at the beginning."""
    generator = np.random.default_rng(0)
    for share in (0, 0.001, 0.1, 0.5, 0.999, 1):
        mask = (generator.random((200, 300)) < share).astype(np.uint8, order='F')
        mask[:, 100:200] = mask[0, 0]
        code = coco_mask.encode(mask)
        assert decoded(dict(size=[200, 300], counts=code['counts'].decode()), 200, 300) == mask.tolist()


def test_polygons_may_reach_out_of_the_picture():
    assert decoded([[3, -4, 10, -4, 10, 8, 3, 8]]) == [[0, 0, 0, 1, 1]] * 4


def test_a_polygon_between_the_pixels_has_none():
    assert np.sum(decoded([[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]])) == 0


POLYGON, FAR, SIZE, SUM = (
    'a polygon of it is not a list of x1, y1',
    'a polygon of it reaches far outside the picture of 5x4 pixels, or is not finite: ',
    r'size .* but the picture is \[4, 5\]',
    'do not add up to the 20',
)


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        (None, 'it has no segmentation, which is polygons or a run-length code; a box is not a mask'),
        ([], 'it has no segmentation'),
        ('0`1', 'it has no segmentation'),
        ([[0, 0, 2, 2]], POLYGON),  # two corners, which pycocotools takes for a box
        ([[0, 0, 2, 0, 2, 2], [0, 0, 2, 0, 2]], POLYGON),
        ([[0, 0, 2, 0, 2, float('nan')]], FAR),
        ([[0, 0, 2, 0, 2, float('-inf')]], FAR),
        ([[0, 0, 2, 0, 10.5, 2]], FAR),
        ([[0, 0, 2, 0, 2, -(2**63)]], FAR),  # whose negative is itself, in 64 bits
        # pycocotools takes gigabytes for 10^7, and ends the process at 10^8.
        ([[0, 0, 2, 0, 2, 1e8]], FAR),
        ([[0, 0, 2, 0, 2, 2**64]], POLYGON),
        ([['0', '0', '2', '0', '2', '2']], POLYGON),
        ([[0, 0, 2, 0, 2, None]], POLYGON),
        ([0, 0, 2, 0, 2, 2], POLYGON),  # a polygon that is not in a list
        ([[[0, 0], [2, 0], [2, 2]]], POLYGON),
        (dict(size=[5, 4], counts=[20]), SIZE),
        (dict(counts=[20]), r'size None, but the picture is \[4, 5\]'),
        (dict(size=[4, 5], counts=[3, 4]), SUM),  # pycocotools leaves the rest undefined
        (dict(size=[4, 5], counts=[3, 40]), SUM),
        (dict(size=[4, 5], counts=[3, -4, 21]), SUM),
        (dict(size=[4, 5], counts=[3, '17']), SUM),
        (dict(size=[4, 5], counts=[]), SUM),
        (dict(size=[4, 5]), SUM),
        (dict(size=[4, 5], counts=''), SUM),
        (dict(size=[4, 5], counts='34'), SUM),
        (dict(size=[4, 5], counts='3ä'), SUM),
        (dict(size=[4, 5], counts='3d0!'), SUM),
        # The last number says that more follow: pycocotools reads on behind the end of the string.
        (dict(size=[4, 5], counts='d0`'), SUM),
        (dict(size=[4, 5], counts=chr(ord('d') + 64) + chr(ord('0') + 64)), SUM),  # d0 but for a bit too much
        (dict(size=[4, 5], counts='0' + 'o' * 1_000_000), SUM),
    ],
)
def test_what_is_no_mask_of_the_picture_is_said(segmentation, message):
    with pytest.raises(ValueError, match=message):
        run_length_code(segmentation, 4, 5)


def test_whole_numbers_are_restored_wherever_coco_has_them():
    content = dict(
        images=[dict(id='7', height=480.0, width=' 640 ', file_name='7')],
        annotations=[dict(id=1.0, image_id='7', category_id='-2', iscrowd='0', area='12.5', bbox=['1', '2'])],
        panoptic=[dict(segments_info=[dict(id='3', category_id=4.0)])],
    )
    restore_numbers(content)
    assert content['images'] == [dict(id=7, height=480, width=640, file_name='7')]
    (annotation,) = content['annotations']
    assert annotation == dict(id=1, image_id=7, category_id=-2, iscrowd=0, area='12.5', bbox=['1', '2'])
    assert content['panoptic'][0]['segments_info'] == [dict(id=3, category_id=4)]
    assert all(type(annotation[key]) is int for key in ('id', 'image_id', 'category_id', 'iscrowd'))


def test_what_is_not_a_whole_number_stays_for_the_reader_to_refuse():
    values = ['', '1.5', 'seven', 2.5, None, True, [1], '9' * 19, 1e300]
    content = dict(images=[dict(id=value) for value in values])
    restore_numbers(content)
    assert [entry['id'] for entry in content['images']] == values


def test_any_content_is_taken():
    for content in (None, 3, [], {}, dict(images=None), dict(images=[None, 'a']), dict(images=[dict(segments_info=3)])):
        restore_numbers(content)
