"""Three pictures of 8x6 pixels with annotations in COCO's format, of all three kinds, written by hand."""

import json

import cv2
import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [
    dict(id=7, name='dog', supercategory='animal'),
    dict(id=40, name='cup', supercategory='kitchen'),
    dict(id=3, name='cat', supercategory='animal'),
]
DOG, CAT, CUP = range(3)  # fine classes: those of a supercategory side by side
IMAGES = [
    dict(id=42, file_name='a.png', height=6, width=8),
    dict(id=7, file_name='b.png', height=6, width=8),
    dict(id=300, file_name='sub/c.png', height=6, width=8),
]


def _compressed(mask):
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=code['size'], counts=code['counts'].decode())


_crowd = np.zeros((6, 8))
_crowd[2:5, 3:] = 1
ANNOTATIONS = [
    # Smaller than the dog in front of it, and under it nonetheless.
    dict(id=901, image_id=42, category_id=7, iscrowd=1, segmentation=_compressed(_crowd)),
    # Two parts, one of them in front of the dog that comes later.
    dict(
        id=5,
        image_id=42,
        category_id=40,
        iscrowd=0,
        segmentation=[[1, 1, 2, 1, 2, 2, 1, 2], [6, 0, 8, 0, 8, 1, 6, 1.0]],
    ),
    dict(id=11, image_id=42, category_id=7, iscrowd=0, segmentation=[[0, 0, 4, 0, 4, 4, 0, 4]]),
    # The lowest row.
    dict(id=900, image_id=42, category_id=3, iscrowd=0, segmentation=dict(size=[6, 8], counts=[5, 1] * 8)),
    dict(id=1, image_id=300, category_id=3, iscrowd=0, segmentation=_compressed(np.ones((6, 8)))),
]
# What is to be seen of them: 0 nothing, annotation 5 (K), 11 (D), 900 (C), and the crowd (#).
K, D, C, _ = 1, 2, 3, 255
ROWS = np.array(
    [
        [D, D, D, D, 0, 0, K, K],
        [D, K, D, D, 0, 0, 0, 0],
        [D, D, D, D, _, _, _, _],
        [D, D, D, D, _, _, _, _],
        [0, 0, 0, _, _, _, _, _],
        [C, C, C, C, C, C, C, C],
    ]
)


def write_pictures(root):
    for number, image in enumerate(IMAGES):
        file = root / 'images' / image['file_name']
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), np.full((6, 8, 3), 50 * number, np.uint8))


def write_json(root, name='instances.json', **changes):
    """The annotation file with other ``images``, ``categories`` or ``annotations``; None leaves one out."""
    content = dict(dict(images=IMAGES, categories=CATEGORIES, annotations=ANNOTATIONS), **changes)
    (root / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def write_tree(root):
    write_pictures(root)
    write_json(root)
