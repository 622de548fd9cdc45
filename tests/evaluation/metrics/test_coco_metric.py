"""CocoMetric: figures and files by hand, by pycocotools, and read again by the dataset that reads COCO's."""

import json
import unicodedata

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from deepunetto_mm.evaluation import CocoMetric
from deepunetto_mm.structures import TaxonomyError

pytestmark = pytest.mark.usefixtures('mmseg_scope')
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='deepunetto_mm.LoadCocoAnnotations'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]


@pytest.fixture
def tree(coco, tmp_path):
    coco['write_tree'](tmp_path)
    return tmp_path


def load(root, ann_file='instances.json', **options):
    prefix = dict(img_path='images', seg_map_path=options.pop('seg_map_path', None))
    config = dict(type='deepunetto_mm.CocoFineDataset', data_root=str(root), data_prefix=prefix, pipeline=PIPELINE)
    return DATASETS.build(dict(config, ann_file=ann_file, **options))


def predict(sample, composed, region_map, fine_labels, scores=None, num_fine=3):
    """Put a prediction into a data sample; region r + 1 has the fine label ``fine_labels[r]``."""
    fine_labels = torch.as_tensor(fine_labels, dtype=torch.long)
    sample.set_data(
        dict(
            pred_fine_seg=PixelData(data=torch.as_tensor(composed)[None]),
            pred_region_map=PixelData(data=torch.as_tensor(region_map)[None]),
            pred_regions=InstanceData(
                ids=torch.arange(1, len(fine_labels) + 1),
                fine_labels=fine_labels,
                scores=torch.ones(len(fine_labels)) if scores is None else torch.as_tensor(scores),
                fine_scores=torch.eye(num_fine)[fine_labels],
            ),
        )
    )
    return sample


def predict_the_truth(dataset):
    """Each picture's ground truth as its prediction, with background where it is unknown."""
    samples = [item['data_samples'] for item in dataset]
    for sample in samples:
        composed, regions = sample.gt_fine_seg.data[0], sample.gt_regions
        predict(sample, torch.where(composed == 255, 0, composed), sample.gt_region_map.data[0], regions.fine_labels)
    return samples


def evaluate(samples, meta, ann_file, **options):
    evaluator = Evaluator(dict(type='deepunetto_mm.CocoMetric', ann_file=str(ann_file), **options))
    evaluator.dataset_meta = meta
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


# -------------------------------------------------------------------------------------------------------- figures
def test_figures_worked_out_by_hand(tree):
    """All regions as they can be seen. The dog has a hole where the cup is: 15 of 16 pixels, an IoU of 0.9375."""
    dataset = load(tree)
    scores = evaluate(predict_the_truth(dataset), dataset.metainfo, tree / 'instances.json')
    # Nine of ten thresholds for the dog, all for the two cats and the cup.
    ap = round(100 * (0.9 + 1 + 1) / 3, 2)
    assert {key: scores[key] for key in ('coco/AP', 'coco/AP50', 'coco/AP75', 'coco/AP_small')} == {
        'coco/AP': ap,
        'coco/AP50': 100,
        'coco/AP75': 100,
        'coco/AP_small': ap,
    }
    assert np.isnan([scores['coco/AP_medium'], scores['coco/AP_large']]).all()


def test_a_false_alarm_costs_what_its_score_says(tree):
    """In the picture without annotations, surer than the only dog: precision 1/2 at every recall."""
    dataset = load(tree)
    samples = predict_the_truth(dataset)
    predict(samples[0], np.zeros((6, 8), int), samples[0].pred_region_map.data[0], [2, 0, 1], [0.5, 0.5, 0.5])
    predict(samples[1], np.zeros((6, 8), int), np.ones((6, 8), int), [0], [0.75])
    scores = evaluate(samples, dataset.metainfo, tree / 'instances.json')
    assert scores['coco/AP50'] == round(100 * (0.5 + 1 + 1) / 3, 2)


def test_only_the_tested_pictures_count(tree):
    """The cat of picture c is not missed, since c was not tested; nor are categories that the taxonomy lacks."""
    dataset = load(tree, indices=2)
    assert evaluate(predict_the_truth(dataset), dataset.metainfo, tree / 'instances.json')['coco/AP50'] == 100
    dataset = load(tree, ignored=['cat'])
    samples = [item['data_samples'] for item in dataset]
    for sample in samples:
        predict(sample, np.zeros((6, 8), int), sample.gt_region_map.data[0], sample.gt_regions.fine_labels, num_fine=2)
    assert evaluate(samples, dataset.metainfo, tree / 'instances.json')['coco/AP50'] == 100


def test_crowds_are_objects_if_asked(tree, coco):
    """Five objects that are all found: as crowds there is nothing to find."""
    annotations = [dict(item, iscrowd=1) for item in coco['ANNOTATIONS']]
    coco['write_json'](tree, annotations=annotations)
    dataset = load(tree, crowd_objects=True)
    samples, file = predict_the_truth(dataset), tree / 'instances.json'
    assert np.isnan(evaluate(samples, dataset.metainfo, file)['coco/AP'])
    as_objects = evaluate(samples, dataset.metainfo, file, crowd_objects=True)['coco/AP50']
    assert as_objects == 100
    coco['write_json'](tree, annotations=[dict(item, ignore=1) for item in annotations])
    assert np.isnan(evaluate(samples, dataset.metainfo, file, crowd_objects=True)['coco/AP'])


def test_ids_as_texts_are_those_of_the_dataset(tree, coco):
    images = [dict(image, id=str(image['id'])) for image in coco['IMAGES']]
    annotations = [dict(item, image_id=str(item['image_id']), iscrowd='0') for item in coco['ANNOTATIONS'][1:]]
    coco['write_json'](tree, images=images, annotations=annotations)
    dataset = load(tree)
    assert evaluate(predict_the_truth(dataset), dataset.metainfo, tree / 'instances.json')['coco/AP50'] == 100


def test_nothing_found_and_nothing_annotated(tree, coco):
    def find_nothing(dataset):
        nothing = np.zeros((6, 8), int)
        return [predict(item['data_samples'], nothing, nothing, []) for item in dataset]

    dataset = load(tree)
    assert evaluate(find_nothing(dataset), dataset.metainfo, tree / 'instances.json')['coco/AP'] == 0
    coco['write_json'](tree, annotations=[])
    dataset = load(tree)
    figures = evaluate(find_nothing(dataset), dataset.metainfo, tree / 'instances.json')
    assert len(figures) == 6
    assert np.isnan(list(figures.values())).all()


def test_files_without_iscrowd_and_area_are_evaluated(tree, coco):
    items = [{k: v for k, v in item.items() if k != 'iscrowd'} for item in coco['ANNOTATIONS'] if not item['iscrowd']]
    coco['write_json'](tree, annotations=items)
    dataset = load(tree)
    assert evaluate(predict_the_truth(dataset), dataset.metainfo, tree / 'instances.json')['coco/AP50'] == 100
    for area in (None, '36.0'):  # as some programs write it
        coco['write_json'](tree, annotations=[dict(item, area=area) for item in items])
        figures = evaluate(predict_the_truth(dataset), dataset.metainfo, tree / 'instances.json')
        assert figures['coco/AP_small'] == figures['coco/AP']
        assert np.isnan(figures['coco/AP_medium'])


@pytest.fixture
def scenes(tmp_path, coco):
    """Twelve pictures of ellipses, some of which overlap, some a crowd; and predictions near them."""
    rng, images, annotations, samples = np.random.default_rng(3), [], [], []
    (tmp_path / 'images').mkdir()
    for image_id in range(10, 130, 10):
        image = dict(id=image_id, file_name=f'{image_id}.png', height=160, width=200)
        cv2.imwrite(str(tmp_path / 'images' / image['file_name']), np.zeros((160, 200, 3), np.uint8))
        images.append(image)
        region_map, fine_labels = np.zeros((160, 200), np.uint8), []
        for _ in range(rng.integers(0, 7)):
            centre, axes = (int(rng.integers(200)), int(rng.integers(160))), rng.integers(4, 75, 2).tolist()
            mask = cv2.ellipse(np.zeros((160, 200), np.uint8), centre, axes, 0, 0, 360, 1, -1)
            code, fine = coco_mask.encode(np.asfortranarray(mask)), int(rng.integers(3))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=[7, 3, 40][fine],
                    iscrowd=int(rng.random() < 0.1),
                    area=float(mask.sum()),
                    segmentation=dict(size=code['size'], counts=code['counts'].decode()),
                )
            )
            if rng.random() < 0.9:
                near = [int(axis + rng.integers(-2, 3)) for axis in axes]
                fine_labels.append(fine if rng.random() < 0.8 else int(rng.integers(3)))
                cv2.ellipse(region_map, centre, near, 0, 0, 360, len(fine_labels), -1)
        sample = SegDataSample(metainfo=dict(img_id=image_id, img_path=image['file_name']))
        samples.append(
            predict(sample, region_map * 0, region_map.astype(int), fine_labels, rng.random(len(fine_labels)))
        )
    coco['write_json'](tmp_path, images=images, annotations=annotations)
    return samples


def test_figures_are_those_of_pycocotools_for_the_files(scenes, tmp_path):
    """The results as their users evaluate them: from the written file, by COCO.loadRes.

    Without their boxes, of which loadRes would take the areas, and so sort the objects into other sizes.
    """
    meta = load(tmp_path).metainfo
    ours = evaluate(scenes, meta, tmp_path / 'instances.json', output_dir=str(tmp_path / 'out'))
    truth = COCO(str(tmp_path / 'instances.json'))
    results = json.loads((tmp_path / 'out/instances.json').read_text())
    results = [{key: value for key, value in item.items() if key != 'bbox'} for item in results]
    official = COCOeval(truth, truth.loadRes(results), 'segm')
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert list(ours.values()) == pytest.approx((100 * official.stats[:6]).tolist(), abs=0.005001)
    assert 10 < ours['coco/AP'] < 90
    assert not np.isnan(list(ours.values())).any()


def test_two_processes_report_what_one_does(scenes, tmp_path, evaluate_in_two_processes):
    meta = dict(taxonomy=load(tmp_path).metainfo['taxonomy'])
    one = evaluate(scenes[:3], meta, tmp_path / 'instances.json', output_dir=str(tmp_path / 'one'))
    options = dict(ann_file=str(tmp_path / 'instances.json'), output_dir=str(tmp_path / 'two'))
    two, other = evaluate_in_two_processes('CocoMetric', meta, scenes[:3], **options)
    assert two == other == pytest.approx(one, nan_ok=True)
    for path in (tmp_path / 'one').rglob('*.*'):
        assert (tmp_path / 'two' / path.relative_to(tmp_path / 'one')).read_bytes() == path.read_bytes()


# ---------------------------------------------------------------------------------------------------------- files
TAXONOMY = dict(
    classes=['background', 'grass', 'animal', 'kitchen'],
    groups=[
        dict(name='animal', members=['animal'], fine_classes=['dog', 'cat']),
        dict(name='kitchen', members=['kitchen'], fine_classes=['cup']),
    ],
)
GRASS, DOG = 1, 2  # composed


@pytest.fixture
def written(tree, coco):
    """Picture a: a dog of two parts, a region without pixels, grass, and unknown pixels."""
    categories = [dict(id=21, name='grass', supercategory='ground'), *coco['CATEGORIES']]
    coco['write_json'](tree, categories=categories, annotations=None)
    composed, region_map = np.zeros((6, 8), int), np.zeros((6, 8), int)
    composed[4:], composed[3], composed[5, 5] = GRASS, 255, DOG  # the last in no region
    composed[0, :3], region_map[0, :3], composed[1, 7], region_map[1, 7] = DOG, 2, DOG, 2
    sample = SegDataSample(metainfo=dict(img_id=300, img_path='c.png'))
    predict(sample, composed, region_map, [2, 0], [0.25, 0.5])
    options = dict(data_root=str(tree), output_dir=str(tree / 'out'), format_only=True)
    assert evaluate([sample], dict(taxonomy=TAXONOMY), 'instances.json', **options) == {}
    return tree / 'out'


def test_the_file_of_instances(written):
    (item,) = json.loads((written / 'instances.json').read_text())
    mask = coco_mask.decode(item.pop('segmentation'))
    expected = np.zeros((6, 8))
    expected[0, :3], expected[1, 7] = 1, 1
    np.testing.assert_array_equal(mask, expected)
    assert item == dict(image_id=300, category_id=7, score=0.5, bbox=[0, 0, 8, 2])


def test_names_in_another_form_of_unicode(tree, coco):
    name = unicodedata.normalize('NFC', 'Grün')
    categories = [dict(id=21, name=unicodedata.normalize('NFD', name), supercategory='ground'), *coco['CATEGORIES']]
    coco['write_json'](tree, categories=categories, annotations=None)
    sample = SegDataSample(metainfo=dict(img_id=300, img_path='c.png'))
    predict(sample, np.full((6, 8), GRASS), np.zeros((6, 8), int), [])
    taxonomy = dict(TAXONOMY, classes=['background', name, 'animal', 'kitchen'])
    options = dict(data_root=str(tree), output_dir=str(tree / 'out'), format_only=True)
    evaluate([sample], dict(taxonomy=taxonomy), 'instances.json', **options)
    panoptic = json.loads((tree / 'out' / 'panoptic.json').read_text())
    assert {category['id']: category['isthing'] for category in panoptic['categories']} == {21: 0, 7: 1, 40: 1, 3: 1}
    (segment,) = panoptic['annotations'][0]['segments_info']
    assert (segment['category_id'], segment['area']) == (21, 48)


def test_the_panoptic_files(written, coco):
    panoptic = json.loads((written / 'panoptic.json').read_text())
    assert panoptic['images'] == [coco['IMAGES'][2]]
    things = {category['name']: category['isthing'] for category in panoptic['categories']}
    assert things == dict(grass=0, dog=1, cup=1, cat=1)
    assert panoptic['annotations'] == [
        dict(
            image_id=300,
            file_name='000000000300.png',
            segments_info=[
                dict(id=2, category_id=7, area=4, bbox=[0, 0, 8, 2], iscrowd=0),
                dict(id=3, category_id=21, area=15, bbox=[0, 4, 8, 2], iscrowd=0),
            ],
        )
    ]
    channels = np.array(Image.open(written / 'panoptic' / '000000000300.png'))
    assert not channels[..., 1:].any()
    expected = np.zeros((6, 8))
    expected[0, :3], expected[1, 7], expected[4:], expected[5, 5] = 2, 2, 3, 0
    np.testing.assert_array_equal(channels[..., 0], expected)
    assert sorted(path.name for path in written.rglob('*')) == [
        '000000000300.png',
        'instances.json',
        'panoptic',
        'panoptic.json',
    ]


def test_ids_beyond_a_byte_take_the_next_channel(tree):
    """300 regions in a picture, for the two formats and back."""
    tall = dict(id=1, file_name='tall.png', height=300, width=2)
    Image.fromarray(np.zeros((300, 2, 3), np.uint8)).save(tree / 'images' / 'tall.png')
    categories = json.loads((tree / 'instances.json').read_text())['categories']
    (tree / 'tall.json').write_text(json.dumps(dict(images=[tall], categories=categories)))
    region_map = np.arange(1, 301).repeat(2).reshape(300, 2)
    sample = SegDataSample(metainfo=dict(img_id=1, img_path='tall.png'))
    taxonomy = dict(taxonomy=load(tree).metainfo['taxonomy'])
    predict(sample, region_map * 0 + 1, region_map, [0] * 300)
    evaluate([sample], taxonomy, tree / 'tall.json', output_dir=str(tree / 'out'), format_only=True)
    assert np.array(Image.open(tree / 'out/panoptic/000000000001.png'))[299, 0].tolist() == [44, 1, 0]
    dataset = load(tree, 'out/panoptic.json', seg_map_path='out/panoptic')
    again = dataset[0]['data_samples'].gt_region_map.data[0].numpy()
    assert again[:, 0].tolist() == [*range(1, 255), *range(256, 302)]


# ----------------------------------------------------------------------------------------------------- round trips
def same(first, second):
    for field in ('gt_sem_seg', 'gt_fine_seg', 'gt_region_map'):
        expected = first.get(field).data.clone()
        expected[expected == 255] = 0  # a prediction is never unknown: background
        np.testing.assert_array_equal(second.get(field).data, expected)
    for key in ('ids', 'labels', 'fine_labels', 'bboxes'):
        np.testing.assert_array_equal(first.gt_regions[key], second.gt_regions[key])
    assert first.img_id == second.img_id


def test_predictions_are_read_again_as_annotations(tree):
    """Both formats, pixel by pixel; and by COCO's evaluation nothing is lost."""
    dataset = load(tree)
    samples = predict_the_truth(dataset)
    out = tree / 'out'
    evaluate(samples, dataset.metainfo, tree / 'instances.json', output_dir=str(out))

    truth = COCO(str(tree / 'instances.json'))
    results = truth.loadRes(str(out / 'instances.json')).dataset
    (out / 'annotations.json').write_text(json.dumps(results))
    for again in (load(tree, 'out/annotations.json'), load(tree, 'out/panoptic.json', seg_map_path='out/panoptic')):
        assert again.metainfo['taxonomy'] == dataset.metainfo['taxonomy']
        assert len(again) == len(samples) == 3
        for first, second in zip(samples, again):
            same(first, second['data_samples'])
        if again.ann_file.endswith('annotations.json'):
            figures = evaluate(predict_the_truth(again), again.metainfo, again.ann_file)
            assert {figures[key] for key in ('coco/AP', 'coco/AP50', 'coco/AP75', 'coco/AP_small')} == {100}


# --------------------------------------------------------------------------------------------------------- errors
def test_format_only_needs_a_folder():
    with pytest.raises(ValueError, match='format_only=True writes predictions; set their folder as output_dir'):
        CocoMetric('a.json', format_only=True)


@pytest.mark.parametrize(
    ('name', 'content', 'error', 'message'),
    [
        ('b.json', '{}', FileNotFoundError, r'a\.json'),
        ('a.json', '{', ValueError, r'a\.json: not JSON'),
        ('a.json', '[' * 500_000, ValueError, r'a\.json: JSON that is nested too deeply'),
        (
            'a.json',
            '{"images": [{"id": 7, "height": 6, "width": 8}], "categories": [], "annotations": [{"id": 3, "image_id": '
            '7, "category_id": 1, "segmentation": [[0, 0, 1e8, 0, 1e8, 1e8]]}]}',
            ValueError,
            r'a\.json: annotation 3: a polygon of it reaches far outside the picture',
        ),
        (
            'a.json',
            '{"images": [{"id": 7, "height": 6, "width": 8}], "categories": [], "annotations": [{"id": 3, "image_id": '
            '8, "category_id": 1}]}',
            ValueError,
            r'a\.json: annotation 3 is of image 8, which is not in the list of images; remove the annotation, or list',
        ),
        ('a.json', '[]', ValueError, r"a\.json: not an annotation file of COCO, which has 'images' and 'categories'"),
        ('a.json', '{"images": [], "categories": []}', ValueError, r'a\.json: no annotations of instances; use the'),
        (
            'a.json',
            '{"images": [], "categories": [], "annotations": [{"segments_info": []}]}',
            ValueError,
            r'a\.json: no annotations of instances; use the file that has them, or only write the predictions with',
        ),
        (
            'a.json',
            '{"images": [], "categories": [{"id": 1, "name": "dog"}], "annotations": []}',
            TaxonomyError,
            r"the fine classes \['cat', 'cup'\] are not categories of .*a\.json; it has \['dog'\]",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path, name, content, error, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(error, match=message):
        evaluate([SegDataSample()], dict(taxonomy=TAXONOMY), tmp_path / 'a.json')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_id=None), r'a\.png: img_id=None is not an image of .*; deepunetto_mm.CocoFineDataset over this file'),
        (dict(img_id=43), r'a\.png: img_id=43 is not an image of'),
        (dict(pred_region_map=dict(data=torch.zeros(1, 8, 6))), r'a\.png: the prediction has the shape \(8, 6\), but'),
        (dict(pred_regions=None), r"a\.png: the data sample has no 'pred_regions'; the model must write it"),
        (dict(pred_fine_seg=dict(data=torch.full((1, 6, 8), 4))), r'a\.png: labels \[4\] are neither 0 to 3'),
    ],
)
def test_what_is_wrong_names_the_picture(tree, change, message):
    metric = CocoMetric(str(tree / 'instances.json'), output_dir=str(tree / 'out'))
    dataset = load(tree)
    metric.dataset_meta = dataset.metainfo
    sample = {**predict_the_truth(dataset)[0].to_dict(), **change}
    sample = {key: value for key, value in sample.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        metric.process(None, [sample])
