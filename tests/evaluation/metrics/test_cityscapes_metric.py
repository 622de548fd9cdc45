"""CityscapesMetric: its files by hand, and its figures and FineGrainedMetric's against the official scripts."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

from deepunetto_mm.evaluation import CityscapesMetric
from deepunetto_mm.structures import Taxonomy

TAXONOMY = dict(
    classes=['road', 'building', 'vehicle'],
    groups=[dict(name='vehicle', members=['vehicle'], fine_classes=['car', 'bus'])],
)
ROAD, BUILDING, CAR, BUS = range(4)
UNLABELED, ROAD_ID, BUILDING_ID, CAR_ID, BUS_ID = 0, 7, 11, 26, 28
FRAME = 'lindau_000000_000019'


def make_sample(composed, region_map, regions, seg_map_path=None, frame=FRAME):
    """A prediction; ``regions`` has fine label, score and fine score of each id."""
    fine_scores = torch.zeros(len(regions), 2)
    for row, (fine, _, fine_score) in enumerate(regions.values()):
        fine_scores[row, fine] = fine_score
    sample = SegDataSample(metainfo=dict(img_path=f'/data/lindau/{frame}_leftImg8bit.png', seg_map_path=seg_map_path))
    sample.set_data(
        dict(
            pred_fine_seg=PixelData(data=torch.as_tensor(composed)[None]),
            pred_region_map=PixelData(data=torch.as_tensor(region_map)[None]),
            pred_regions=InstanceData(
                ids=torch.tensor(list(regions), dtype=torch.long),
                fine_labels=torch.tensor([fine for fine, _, _ in regions.values()], dtype=torch.long),
                scores=torch.tensor([score for _, score, _ in regions.values()]),
                fine_scores=fine_scores,
            ),
        )
    )
    return sample


def evaluate(*samples, taxonomy=TAXONOMY, **options):
    evaluator = Evaluator(dict(type='deepunetto_mm.CityscapesMetric', **options))
    evaluator.dataset_meta = dict(taxonomy=taxonomy)
    for sample in samples:
        evaluator.process([sample])
    return evaluator.evaluate(len(samples))


COMPOSED = np.array([[ROAD, ROAD, CAR, CAR], [BUILDING, 255, CAR, BUS]])
REGION_MAP = np.array([[0, 0, 7, 7], [0, 0, 7, 300]])
REGIONS = {7: (0, 0.5, 0.75), 300: (1, 1.0, 0.125)}


def test_the_files_of_a_submission(tmp_path):
    sample = make_sample(COMPOSED, REGION_MAP, {300: REGIONS[300], 9: (0, 1.0, 1.0), 7: REGIONS[7]})
    empty = make_sample(np.full((2, 3), ROAD), np.zeros((2, 3), int), {}, frame='lindau_000001_000019')
    assert evaluate(sample, empty, output_dir=str(tmp_path), format_only=True) == {}
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*') if path.is_file()}
    assert files == {
        'pixel/lindau_000000_000019_labelIds.png',
        'pixel/lindau_000001_000019_labelIds.png',
        'instance/lindau_000000_000019.txt',
        'instance/lindau_000000_000019_001.png',
        'instance/lindau_000000_000019_002.png',
        'instance/lindau_000001_000019.txt',
    }
    label_ids = cv2.imread(str(tmp_path / 'pixel' / f'{FRAME}_labelIds.png'), cv2.IMREAD_UNCHANGED)
    assert label_ids.tolist() == [[ROAD_ID, ROAD_ID, CAR_ID, CAR_ID], [BUILDING_ID, UNLABELED, CAR_ID, BUS_ID]]
    # Region 9 has no pixel.
    assert (tmp_path / 'instance' / f'{FRAME}.txt').read_text().splitlines() == [
        f'{FRAME}_001.png {BUS_ID} 0.125000000',
        f'{FRAME}_002.png {CAR_ID} 0.375000000',
    ]
    masks = [cv2.imread(str(tmp_path / 'instance' / f'{FRAME}_00{n}.png'), cv2.IMREAD_UNCHANGED) for n in (1, 2)]
    assert masks[0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 255]]
    assert masks[1].tolist() == [[0, 0, 255, 255], [0, 0, 255, 0]]
    assert (tmp_path / 'instance' / 'lindau_000001_000019.txt').read_bytes() == b''


def test_a_second_run_replaces_the_first(tmp_path):
    evaluate(make_sample(COMPOSED, REGION_MAP, REGIONS), output_dir=str(tmp_path), format_only=True)
    fewer = make_sample(COMPOSED, REGION_MAP % 300, {7: REGIONS[7]})
    evaluate(fewer, output_dir=str(tmp_path), format_only=True)
    names = [f'{FRAME}.txt', f'{FRAME}_001.png']
    assert sorted(path.name for path in (tmp_path / 'instance').iterdir()) == names


def test_fine_classes_without_official_instances_are_pixels_alone(tmp_path):
    taxonomy = dict(
        classes=['road', 'building', 'thing'],
        groups=[dict(name='thing', members=['thing'], fine_classes=['car', 'pole'])],
    )
    sample = make_sample(COMPOSED, REGION_MAP, REGIONS)
    evaluate(sample, taxonomy=taxonomy, output_dir=str(tmp_path), format_only=True)
    assert (tmp_path / 'instance' / f'{FRAME}.txt').read_text() == f'{FRAME}_001.png 26 0.375000000\n'
    label_ids = cv2.imread(str(tmp_path / 'pixel' / f'{FRAME}_labelIds.png'), cv2.IMREAD_UNCHANGED)
    assert label_ids[1].tolist() == [BUILDING_ID, UNLABELED, CAR_ID, 17]


def write_ground_truth(folder, label_ids, instance_ids, frame=FRAME):
    path = folder / f'{frame}_gtFine_labelIds.png'
    assert cv2.imwrite(str(path), label_ids.astype(np.uint8))
    assert cv2.imwrite(str(folder / f'{frame}_gtFine_instanceIds.png'), instance_ids.astype(np.uint16))
    return str(path)


def test_figures_worked_out_by_hand(tmp_path):
    """Two cars of 200 pixels. One is found by 72 %, one missed; a third car, surer than the first, is none."""
    label_ids = np.full((40, 60), BUILDING_ID)
    label_ids[20:] = ROAD_ID
    instance_ids = label_ids.copy()
    for number, x in enumerate((0, 30)):
        label_ids[25:35, x : x + 20], instance_ids[25:35, x : x + 20] = CAR_ID, 26000 + number
    composed, region_map = np.full((40, 60), BUILDING), np.zeros((40, 60), int)
    composed[20:] = ROAD
    for id_, (y, x, w) in {1: (25, 0, 14), 2: (2, 40, 20)}.items():
        composed[y : y + 10, x : x + w], region_map[y : y + 10, x : x + w] = CAR, id_
    path = write_ground_truth(tmp_path, label_ids, instance_ids)
    # 144 of 200 pixels of the first car.
    composed[25:29, 14], region_map[25:29, 14] = CAR, 1
    sample = make_sample(composed, region_map, {1: (0, 0.9, 1.0), 2: (0, 0.95, 1.0)}, path)
    scores = evaluate(sample)
    # Going down in confidence: a false alarm (precision 0, recall 0), then the found one (precision 1/2, recall 1/2).
    # The official integral gives a point half the distance between the recalls of its neighbours: 1/2 * (1/2 - 0) / 2.
    assert scores['cityscapes/AP50'] == 12.5
    # An IoU of 0.72 is above five of the ten thresholds; at the others nothing is found.
    assert scores['cityscapes/AP'] == 6.25
    # Car: 144 of 144 + 200 + 256; road: 800 of 800 + 256; building: 1000 of 1200.
    car, road, building = 144 / 600, 800 / 1056, 1000 / 1200
    assert scores['cityscapes/IoU'] == scores['cityscapes/category_IoU'] == round(100 * (car + road + building) / 3, 2)


def test_no_annotated_object_has_no_ap(tmp_path):
    label_ids = np.full((4, 6), ROAD_ID)
    path = write_ground_truth(tmp_path, label_ids, label_ids)
    scores = evaluate(make_sample(np.full((4, 6), ROAD), np.zeros((4, 6), int), {}, path))
    assert scores['cityscapes/IoU'] == 100
    assert np.isnan([scores['cityscapes/AP'], scores['cityscapes/AP50']]).all()


def test_temporary_files_are_gone_after_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    path = write_ground_truth(tmp_path, np.full((2, 4), ROAD_ID), np.full((2, 4), ROAD_ID))
    metric = CityscapesMetric()
    metric.dataset_meta = dict(taxonomy=TAXONOMY)
    metric.process(None, [make_sample(COMPOSED, REGION_MAP, REGIONS, path).to_dict()])
    assert len(list((tmp_path / 'temporary').rglob('*.png'))) == 3
    metric.evaluate(1)
    assert list((tmp_path / 'temporary').iterdir()) == []


def test_numpy_is_left_as_it_was(tmp_path):
    before = hasattr(np, 'in1d')
    path = write_ground_truth(tmp_path, np.full((2, 4), ROAD_ID), np.full((2, 4), ROAD_ID))
    evaluate(make_sample(COMPOSED, REGION_MAP, REGIONS, path))
    assert hasattr(np, 'in1d') == before


# ------------------------------------------------------------------------------------------------------------- parity
OFFICIAL = """
import sys
import numpy as np
if not hasattr(np, 'in1d'):
    # As in numpy 1, for which cityscapesscripts 2.3.0 is written: in1d, and counts that JSON can hold.
    np.in1d, count = lambda values, wanted: np.isin(np.ravel(values), wanted), np.count_nonzero
    np.count_nonzero = lambda values: int(count(values))
import cityscapesscripts.evaluation.eval{level}LevelSemanticLabeling as script
script.args.gtInstancesFile = 'gtInstances.json'  # else beside the installed package
script.main()
"""


def run_official_script(level, tree, results, folder):
    """The official script as its users run it; what it exports."""
    done = subprocess.run(
        [sys.executable, '-c', OFFICIAL.format(level=level)],
        env=dict(os.environ, CITYSCAPES_DATASET=str(tree), CITYSCAPES_RESULTS=str(results), OMP_NUM_THREADS='1'),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tree / 'evaluationResults' / f'result{level}LevelSemanticLabeling.json').read_text())


@pytest.fixture
def tree(cityscapes_tree, tmp_path):
    cityscapes_tree['write_tree'](tmp_path / 'cityscapes')
    return tmp_path / 'cityscapes'


@pytest.fixture
def cfg(repository, tree, mmseg_scope):
    cfg = Config.fromfile(repository / 'configs/_base_/datasets/cityscapes.py')
    cfg.test_dataloader.dataset.data_root = str(tree)
    return cfg


def predict_near_the_truth(sample, taxonomy, rng):
    """Regions missed, moved, misnamed and invented, noisy pixels, some without a name."""
    truth = sample.gt_fine_seg.data[0].numpy()
    gt_map, gt_regions = sample.gt_region_map.data[0].numpy(), sample.gt_regions
    num_stuff, num_fine = len(taxonomy.stuff_classes), len(taxonomy.fine_classes)
    noise = rng.integers(0, num_stuff, truth.shape)
    composed = np.where((truth == 255) | (rng.random(truth.shape) < 0.1), noise, truth)
    region_map, fine_labels = np.zeros_like(truth), []

    def add(mask, fine):
        fine_labels.append(fine)
        region_map[mask], composed[mask] = len(fine_labels), num_stuff + fine

    for id_, fine in zip(gt_regions.ids.tolist(), gt_regions.fine_labels.tolist()):
        mask, luck = gt_map == id_, rng.random()
        if luck > 0.15:
            moved = np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) if luck > 0.5 else mask
            add(moved, fine if rng.random() > 0.2 else rng.integers(num_fine))
    for _ in range(rng.integers(0, 6)):
        y, x, h, w = (*rng.integers(0, 80, 2), *rng.integers(3, 18, 2))
        add(np.pad(np.ones((h, w), bool), ((y, 200), (x, 200)))[: truth.shape[0], : truth.shape[1]], rng.integers(8))
    composed[rng.random(truth.shape) < 0.02] = 255
    fine_scores = rng.dirichlet(np.ones(num_fine), len(fine_labels))
    sample.set_data(
        dict(
            pred_fine_seg=PixelData(data=torch.from_numpy(composed)[None]),
            pred_region_map=PixelData(data=torch.from_numpy(region_map)[None]),
            pred_regions=InstanceData(
                ids=torch.arange(1, len(fine_labels) + 1),
                labels=torch.tensor([taxonomy.group_of_fine[fine] for fine in fine_labels], dtype=torch.long),
                fine_labels=torch.tensor(fine_labels, dtype=torch.long),
                fine_scores=torch.from_numpy(fine_scores).float(),
                scores=torch.from_numpy(rng.random(len(fine_labels))).float(),
            ),
        )
    )


def predict_all(cfg):
    """The validation pictures as the evaluators see them, and their dataset's metainfo."""
    dataset, rng = DATASETS.build(cfg.test_dataloader.dataset), np.random.default_rng(1)
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    for sample in samples:
        predict_near_the_truth(sample, Taxonomy.from_dict(dataset.metainfo['taxonomy']), rng)
    return samples, dataset.metainfo


def test_figures_agree_with_the_official_scripts(cfg, tree, tmp_path):
    samples, meta = predict_all(cfg)
    assert [len(sample.gt_regions) > 5 for sample in samples] == [True, True, True, False]
    assert min(len(sample.pred_regions) for sample in samples[:3]) > 5
    cfg.test_evaluator[-1].output_dir = str(tmp_path / 'submission')
    evaluator = Evaluator(cfg.test_evaluator[1:])
    evaluator.dataset_meta = meta
    for sample in samples:
        evaluator.process([sample])
    ours = evaluator.evaluate(len(samples))

    pixel = run_official_script('Pixel', tree, tmp_path / 'submission' / 'pixel', tmp_path)
    assert len(pixel['classScores']) == 34
    assert len([score for score in pixel['classScores'].values() if score is not None and 0 < score < 1]) == 19
    assert ours['composed/mIoU'] == pytest.approx(100 * pixel['averageScoreClasses'], abs=0.01)
    assert ours['composed/category_mIoU'] == pytest.approx(100 * pixel['averageScoreCategories'], abs=0.01)
    assert ours['cityscapes/IoU'] == pytest.approx(100 * pixel['averageScoreClasses'], abs=0.01)
    assert ours['cityscapes/iIoU'] == pytest.approx(100 * pixel['averageScoreInstClasses'], abs=0.01)
    assert ours['cityscapes/category_IoU'] == pytest.approx(100 * pixel['averageScoreCategories'], abs=0.01)
    assert ours['cityscapes/category_iIoU'] == pytest.approx(100 * pixel['averageScoreInstCategories'], abs=0.01)

    instance = run_official_script('Instance', tree, tmp_path / 'submission' / 'instance', tmp_path)['averages']
    assert sum(0 < scores['ap'] < 1 for scores in instance['classes'].values()) >= 5
    assert ours['cityscapes/AP'] == pytest.approx(100 * instance['allAp'], abs=0.01)
    assert ours['cityscapes/AP50'] == pytest.approx(100 * instance['allAp50%'], abs=0.01)


def test_the_truth_itself_scores_100(cfg):
    """Objects below 100 pixels are no regions of ours; the official instance task passes them over, too."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    evaluator = Evaluator(cfg.test_evaluator[1:])
    evaluator.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        regions = sample.gt_regions
        sample.set_data(
            dict(
                pred_fine_seg=PixelData(data=torch.where(sample.gt_fine_seg.data == 255, 0, sample.gt_fine_seg.data)),
                pred_region_map=sample.gt_region_map,
                pred_regions=InstanceData(
                    ids=regions.ids,
                    labels=regions.labels,
                    fine_labels=regions.fine_labels,
                    fine_scores=torch.eye(8)[regions.fine_labels],
                    scores=torch.ones(len(regions)),
                ),
            )
        )
        evaluator.process([sample])
    figures = evaluator.evaluate(len(dataset))
    assert {value for key, value in figures.items() if not key.startswith('cityscapes/AP')} == {100}
    assert figures['cityscapes/AP50'] == figures['cityscapes/AP'] == figures['composed/mIoU']


def test_two_processes_report_what_one_does(cfg, evaluate_in_two_processes, tmp_path):
    samples, meta = predict_all(cfg)
    samples, meta = samples[:3], dict(taxonomy=meta['taxonomy'])
    one = evaluate(*samples, taxonomy=meta['taxonomy'])
    assert len(one) == 6
    assert evaluate_in_two_processes('CityscapesMetric', meta, samples) == [one, one]
    assert not list((tmp_path / 'temporary').glob('cityscapes_*'))


# ------------------------------------------------------------------------------------------------------------- errors
def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr('deepunetto_mm.evaluation.official_cityscapes.find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match='pip install cityscapesscripts'):
        CityscapesMetric()


def test_format_only_needs_a_folder():
    with pytest.raises(ValueError, match='format_only=True writes a submission; set its folder as output_dir'):
        CityscapesMetric(format_only=True)


def test_names_must_be_official():
    taxonomy = dict(classes=['road', 'tree'])
    with pytest.raises(
        ValueError, match=r"\['tree'\] are not labels of Cityscapes; it has \['unlabeled', 'ego vehicle'"
    ):
        evaluate(make_sample(COMPOSED, REGION_MAP, REGIONS), taxonomy=taxonomy)
    # It is a label, but its id is -1, which no picture can hold.
    with pytest.raises(ValueError, match=r"\['license plate'\] are not labels of Cityscapes; it has \['unlabeled'"):
        evaluate(make_sample(COMPOSED, REGION_MAP, REGIONS), taxonomy=dict(classes=['road', 'license plate']))
    metric = CityscapesMetric()
    with pytest.raises(ValueError, match="CityscapesMetric: the dataset's metainfo has no 'taxonomy'"):
        metric.process(None, [])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(img_path='a/b.png'), r'a/b\.png: not named as in Cityscapes, CITY_123456_123456_leftImg8bit\.png'),
        (dict(seg_map_path=None), r'19_leftImg8bit\.png: the official evaluation reads \*_gtFine_labelIds\.png, but '),
        (dict(seg_map_path='x_labelTrainIds.png'), "seg_map_path is 'x_labelTrainIds.png'; with format_only=True"),
        (
            dict(pred_regions=None),
            r"19_leftImg8bit\.png: the data sample has no 'pred_regions'; the model must write it",
        ),
        (dict(pred_fine_seg=dict(data=torch.full((1, 2, 4), 4))), r'leftImg8bit\.png: labels \[4\] are neither 0 to 3'),
    ],
)
def test_what_is_wrong_names_the_picture(tmp_path, change, message):
    metric = CityscapesMetric(str(tmp_path))
    metric.dataset_meta = dict(taxonomy=TAXONOMY)
    sample = {**make_sample(COMPOSED, REGION_MAP, REGIONS, f'/{FRAME}_gtFine_labelIds.png').to_dict(), **change}
    if sample['pred_regions'] is None:
        del sample['pred_regions']
    with pytest.raises(ValueError, match=message):
        metric.process(None, [sample])


def test_missing_ground_truth_is_named(tmp_path):
    sample = make_sample(COMPOSED, REGION_MAP, REGIONS, str(tmp_path / f'{FRAME}_gtFine_labelIds.png'))
    with pytest.raises(FileNotFoundError, match=f'{FRAME}_gtFine_labelIds.png: no such file; with several processes'):
        evaluate(sample)


def test_the_official_scripts_refusal_is_an_error(tmp_path):
    path = write_ground_truth(tmp_path, np.full((2, 5), ROAD_ID), np.full((2, 5), ROAD_ID))
    with pytest.raises(ValueError, match='cityscapesscripts failed: ERROR: Image widths of .* are not equal'):
        evaluate(make_sample(COMPOSED, REGION_MAP, REGIONS, path))
