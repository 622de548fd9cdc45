from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.structures import Taxonomy

TAXONOMY = Taxonomy(('background', 'cell'))


def test_the_config_names_what_was_written(tmp_path):
    plain = WrittenDataset(tmp_path, TAXONOMY, '.png').to_config('all.txt')
    assert plain['data_prefix'] == dict(img_path='images', seg_map_path='masks')
    assert (plain['ann_file'], plain['img_suffix'], plain['fine_label_file']) == ('all.txt', '.png', None)
    assert plain['metainfo'] == dict(taxonomy=TAXONOMY.to_dict())
    named = WrittenDataset(tmp_path, TAXONOMY, '.png', with_regions=True, with_table=True).to_config()
    assert named['data_prefix']['region_map_path'] == 'regions'
    assert named['fine_label_file'] == 'labels.csv'


def test_masks_of_names_are_loaded_composed(tmp_path):
    assert WrittenDataset(tmp_path, TAXONOMY, '.png').annotation_transforms(7) == [
        dict(type='LoadAnnotations'),
        dict(type='deepunetto_mm.LoadRegions', min_area=7),
    ]
    composed = WrittenDataset(tmp_path, TAXONOMY, '.png', composed=['background', 'cell'])
    assert composed.annotation_transforms(7) == [
        dict(type='deepunetto_mm.LoadComposedAnnotations', labels=['background', 'cell'], min_area=7)
    ]
