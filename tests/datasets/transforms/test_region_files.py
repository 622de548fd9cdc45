import numpy as np
import pytest
from mmengine import fileio
from PIL import Image

from deepunetto_mm.datasets import DataError
from deepunetto_mm.datasets.transforms.region_files import read_labels, read_regions, some
from deepunetto_mm.registry import TRANSFORMS
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy.from_dict(
    dict(classes=['grass', 'dog', 'cat'], groups=[dict(name='pet', members=['dog', 'cat'], fine_classes=['a'])])
)
#: Owners of the labels grass, dog and cat: none, 0 and 1.
OWNERS = (-1, 0, 1)


def _results(tmp_path, region_map):
    path = str(tmp_path / 'regions.png')
    Image.fromarray(np.array(region_map, np.uint16)).save(path)
    return dict(
        region_map_path=path,
        seg_map_path='mask.png',
        ori_shape=np.shape(region_map),
        taxonomy=TAXONOMY,
        img_path='a.png',
    )


def test_a_region_belongs_to_the_owner_of_most_of_its_pixels(tmp_path):
    labels = np.array([[1, 1, 2, 0], [2, 2, 255, 0]])
    results = _results(tmp_path, [[5000, 5000, 5000, 0], [9, 9, 9, 3]])
    region_map, ids, owners, source_ids = read_regions(labels, OWNERS, results, min_region_id=4)
    # 3 is below the first region id; the third pixel of 5000 is a cat's, and that of 9 is ignored.
    assert region_map.tolist() == [[2, 2, 0, 0], [1, 1, 0, 0]]
    assert (ids.tolist(), owners.tolist(), source_ids.tolist()) == ([1, 2], [1, 0], [9, 5000])
    region_map, ids, *_ = read_regions(labels, OWNERS, results, min_area=3, min_region_id=4)
    assert not region_map.any()
    assert ids.shape == (0,)


def test_a_region_of_stuff_is_an_error(tmp_path):
    results = _results(tmp_path, [[7, 7]])
    with pytest.raises(DataError, match=r'the regions \[7\] cover no pixel of any group, because the mask mask\.png'):
        read_regions(np.array([[0, 0]]), OWNERS, results)


def test_palettes_are_read_as_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 2], [1, 2]], np.uint8), mode='P')
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / 'palette.png')
    assert read_labels(str(tmp_path / 'palette.png')).tolist() == [[0, 2], [1, 2]]


def test_long_lists_are_cut():
    assert some(np.arange(12)) == '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] and 2 more'


@pytest.mark.parametrize(
    'loader',
    [
        dict(type='LoadScaledImage', low=0, high=1),
        dict(type='LoadRegions'),
        dict(type='LoadComposedAnnotations', labels={0: 'grass'}),
        dict(type='LoadCocoAnnotations'),
    ],
    ids=lambda loader: loader['type'],
)
def test_every_loader_reads_by_the_backend_of_its_option(tmp_path, monkeypatch, loader):
    def get(path, backend_args=None):
        raise ConnectionError(backend_args['backend'])

    monkeypatch.setattr(fileio, 'get', get)
    results = _results(tmp_path, [[0, 1]])
    results.update(gt_seg_map=np.array([[0, 1]]), img_path='a.png', coco=dict(segments=[], size=(1, 2)))
    transform = TRANSFORMS.build(dict(loader, type=f'deepunetto_mm.{loader["type"]}', backend_args=dict(backend='far')))
    with pytest.raises(ConnectionError, match='far'):
        transform(results)
