import numpy as np
import pytest

from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.datasets.rod_cone_shapes import _draw
from deepunetto_mm.datasets.shape_scenes import LUMA
from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import Taxonomy


def test_taxonomy():
    taxonomy = Taxonomy.from_dict(RodConeShapes(num_scenes=1, seed=0).metainfo['taxonomy'])
    assert taxonomy.classes == ('clutter', 'disk', 'ring', 'cross')
    assert [group.members for group in taxonomy.groups] == [('disk',), ('ring',), ('cross',)]
    assert taxonomy.groups[1].fine_classes == ('red ring', 'green ring', 'cyan ring', 'violet ring')
    assert len(RodConeShapes.METAINFO['palette']) == 4
    fine_palette = RodConeShapes.METAINFO['fine_palette']
    assert len(fine_palette) == len(taxonomy.fine_classes) == 12
    assert fine_palette[4] == fine_palette[0] == [193, 111, 105]  # red ring, red disk


def test_a_scene_depends_on_seed_and_index_alone():
    some, more, others = (RodConeShapes(num_scenes=n, seed=s) for n, s in ((4, 1), (9, 1), (4, 2)))
    drawn = some[3]['img']
    _draw.cache_clear()
    more[0], more[8]
    assert (drawn == more[3]['img']).all()
    assert (some[3]['img'] == some[3]['img']).all()
    assert (some[3]['img'] != some[2]['img']).any()
    assert (some[3]['img'] != others[3]['img']).any()
    assert (some.get_subset([3])[0]['img'] == some[3]['img']).all()
    paths = {dataset[i]['img_path'] for dataset in (some, others) for i in range(4)}
    assert len(paths) == 8
    assert 'shapes_seed1_00003.png' in paths


def test_a_scene_that_a_transform_changed_is_whole_when_it_is_read_again():
    dataset = RodConeShapes(num_scenes=1, seed=1)

    def arrays():
        info = dataset[0]
        return [info['img'], info['gt_seg_map'], info['gt_region_map'], *info['regions'].values()]

    whole = [array.copy() for array in arrays()]
    for array in arrays():
        array[:] = 99
    assert all(np.array_equal(*pair) for pair in zip(arrays(), whole, strict=True))


def test_crowded_scenes_are_others():
    plain, crowded = (RodConeShapes(num_scenes=4, seed=1, max_shapes=20, crowded=crowded) for crowded in (False, True))
    assert any((a['gt_region_map'] != b['gt_region_map']).any() for a, b in zip(plain, crowded))


def test_names_are_what_the_colours_say():
    """In BGR: red is above the luma in channel 2, violet in channel 0; cyan and green are below it there."""
    dataset = RodConeShapes(num_scenes=30, seed=5, size=(96, 112), max_shapes=3)
    seen = set()
    for info in dataset:
        assert info['img'].shape == (96, 112, 3)
        assert info['img'].dtype == np.uint8
        assert info['ori_shape'] == info['img_shape'] == (96, 112)
        regions = info['regions']
        for index, label, fine in zip(regions['ids'], regions['labels'], regions['fine_labels'], strict=True):
            hue, shape = dataset.taxonomy.fine_classes[fine].split()
            pixels = info['img'][info['gt_region_map'] == index].astype(float)
            blue, _, red = pixels.mean(axis=0) - (pixels @ LUMA[::-1]).mean()
            assert {'red': red, 'cyan': -red, 'violet': blue, 'green': -blue}[hue] > 35
            assert dataset.taxonomy.groups[label].name == shape
            assert (info['gt_seg_map'][info['gt_region_map'] == index] == label + 1).all()
            seen.add(hue)
    assert len(seen) == 4


def test_pipeline(mmseg_scope):
    dataset = DATASETS.build(
        dict(
            type='deepunetto_mm.RodConeShapes',
            num_scenes=12,
            seed=0,
            size=[64, 64],
            pipeline=[
                dict(type='RandomFlip', prob=0.5),
                dict(type='RandomCrop', crop_size=(48, 48)),
                dict(type='deepunetto_mm.PackRegionInputs', min_area=10),
            ],
        )
    )
    assert len(dataset) == 12
    for packed in dataset:
        assert packed['inputs'].shape == (3, 48, 48)
        sample = packed['data_samples']
        assert len(sample.gt_regions) == len(np.setdiff1d(sample.gt_region_map.data, [0]))
        assert sample.ori_shape == (64, 64)


def test_error():
    with pytest.raises(ValueError, match='num_scenes must be at least 1, got 0'):
        RodConeShapes(num_scenes=0, seed=0)


def test_a_loader_of_files_is_for_inferencers_alone():
    pack = dict(type='deepunetto_mm.PackRegionInputs')
    scene, loaded = (
        RodConeShapes(num_scenes=1, seed=0, pipeline=pipeline)[0]
        for pipeline in ([pack], [dict(type='LoadImageFromFile'), pack])
    )
    assert scene['inputs'].equal(loaded['inputs'])


def test_fine_classes_of_a_scene():
    dataset = RodConeShapes(num_scenes=4, seed=0)
    labels = [set(dataset.get_data_info(i)['regions']['fine_labels'].tolist()) for i in range(4)]
    assert [dataset.get_cat_ids(i) for i in range(4)] == [sorted(item) for item in labels]
