"""docs/coco.md: its command and its configs, on the small download of tests/data/coco_tree.py."""

import ast
import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import DATASETS

PAGE = 'docs/coco.md'

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def test_from_the_taxonomy_to_the_figures(example, coco, repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kitchen = tmp_path / 'data/kitchen'
    (kitchen / 'annotations').mkdir(parents=True)
    coco['write_pictures'](kitchen)
    (kitchen / 'images').rename(kitchen / 'train')
    for split in ('train', 'val'):
        coco['write_json'](kitchen, f'annotations/{split}.json')

    text = (repository / PAGE).read_text(encoding='utf-8')
    exec(re.search(r'^python -c "(.*?)"$', text, re.MULTILINE | re.DOTALL)[1], {})
    taxonomy = ast.literal_eval(capsys.readouterr().out)
    assert [(group['name'], group['fine_classes']) for group in taxonomy['groups']] == [
        ('animal', ['dog', 'cat']),
        ('kitchen', ['cup']),
    ]

    block = example(PAGE, 'CocoFineDataset')
    dataset = DATASETS.build(Config.fromstring(f'taxonomy = {taxonomy}\n{block}', '.py').train_dataset)
    samples = [item['data_samples'] for item in dataset]
    # Only the cat that fills the third picture has 20 pixels; the map of names has the others, too.
    assert [sample.gt_regions.fine_labels.tolist() for sample in samples] == [[], [], [coco['CAT']]]
    names = 1 + np.array([coco['CUP'], coco['DOG'], coco['CAT']])
    composed = np.select([coco['ROWS'] == value for value in (coco['K'], coco['D'], coco['C'])], names, coco['ROWS'])
    shown = samples[0].gt_fine_seg.data[0].numpy()
    assert any((shown == flipped).all() for flipped in (composed, composed[:, ::-1]))

    evaluator = Evaluator(Config.fromstring(example(PAGE, 'CocoMetric'), '.py').test_evaluator)
    evaluator.dataset_meta = dataset.metainfo
    cat = samples[2]
    cat.set_data(
        dict(
            pred_fine_seg=PixelData(data=cat.gt_fine_seg.data),
            pred_region_map=PixelData(data=cat.gt_region_map.data),
            pred_regions=InstanceData(
                ids=cat.gt_regions.ids,
                fine_labels=cat.gt_regions.fine_labels,
                scores=torch.ones(1),
                fine_scores=torch.eye(3)[cat.gt_regions.fine_labels],
            ),
        )
    )
    evaluator.process([cat])
    figures = evaluator.evaluate(1)
    assert {key: figures[key] for key in ('coco/AP', 'coco/AP50')} == {'coco/AP': 100, 'coco/AP50': 100}
