"""The models of the package: what is shipped is listed, small, and finds what is there."""

import hashlib
import json

import cv2
import numpy as np
import pytest
import safetensors.torch
import yaml

from deepunetto_mm.apis import load_model
from deepunetto_mm.apis.model_zoo import SHIPPED, shipped_models
from deepunetto_mm.datasets import RodConeShapes


def _iou(one, other):
    return (one & other).sum() / (one | other).sum()


def _data(real_data, name):
    if not (real_data / name).is_dir():
        pytest.skip(f'no {name} in the real data')
    return real_data / name


def test_names_the_shapes_that_are_drawn():
    model = load_model('deepunetto_shapes', device='cpu', show_progress=False)
    scenes = RodConeShapes(num_scenes=4, seed=2)
    assert model.taxonomy == scenes.taxonomy
    assert model.visualizer.dataset_meta['fine_palette'] == scenes.metainfo['fine_palette']
    for index in (2, 3):
        scene = scenes[index]
        truth = sorted(scenes.taxonomy.fine_classes[label] for label in scene['regions']['fine_labels'])
        (result,) = model(scene['img'])
        assert sorted(region['fine_class'] for region in result['regions']) == truth


@pytest.mark.parametrize('name', shipped_models())
def test_what_is_shipped_is_in_the_model_index(name, repository):
    entry = json.loads((SHIPPED / f'{name}.json').read_text())
    digest = hashlib.sha256((SHIPPED / entry['weights']).read_bytes()).hexdigest()
    assert entry['weights'] == f'{name}-{digest[:8]}.safetensors'
    metafiles = (repository / 'configs' / 'metafiles').glob('*.yml')
    models = [model for path in metafiles for model in yaml.safe_load(path.read_text())['Models']]
    (model,) = [model for model in models if model['Name'] == name]
    assert model['Weights'] == f'deepunetto_mm/zoo/{entry["weights"]}'
    assert model['Metadata']['SHA256'] == entry['sha256'] == digest
    assert model['Metadata']['Licence of Data'] == entry['origin']['licence']
    assert entry['origin']['config'] == f'{name}.py'
    assert not entry['palette'] or entry['palette'][0] == [0, 0, 0]  # the background is drawn without a tint
    packed = any(key.endswith('..int8') for key in safetensors.torch.load((SHIPPED / entry['weights']).read_bytes()))
    assert entry['storage'] == ('int8' if packed else 'float16')
    assert model['Metadata']['Log'] == f'deepunetto_mm/zoo/{name}.log.jsonl'


def test_what_is_shipped_is_small():
    files = {path.name for path in SHIPPED.iterdir()}
    for name in shipped_models():
        files -= {f'{name}.json', json.loads((SHIPPED / f'{name}.json').read_text())['weights']}
    assert files == {f'{name}.log.jsonl' for name in shipped_models()}
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 20e6


def test_finds_nuclei(real_data):
    folder = _data(real_data, 'dsb2018')
    model = load_model('deepunetto_nuclei', device='cpu', show_progress=False)
    # The smallest picture of the validation.
    path = min((folder / 'images' / 'val').glob('*.jpg'), key=lambda path: path.stat().st_size)
    truth = cv2.imread(str(folder / 'regions' / 'val' / f'{path.stem}.png'), cv2.IMREAD_UNCHANGED)
    (sample,) = model(path, return_datasamples=True)
    found = sample.pred_region_map.data[0].numpy()
    masks = [truth == number for number in np.unique(truth)[1:]]
    hits = [any(_iou(mask, found == number) > 0.5 for number in np.unique(found[mask])) for mask in masks]
    assert sum(hits) > 0.8 * len(masks) > 8


@pytest.mark.parametrize(
    ('picture', 'pieces'), [('0058', {'pants', 'shoes'}), ('0574', {'shirt', 'shorts', 'bag', 'sunglasses'})]
)
def test_names_clothes(real_data, picture, pieces):
    folder = _data(real_data, 'ccp')
    model = load_model('deepunetto_ccp', device='cpu', show_progress=False)
    labels = json.loads((folder / 'classes.json').read_text())['composed']
    truth = cv2.imread(str(folder / 'masks' / 'val' / f'{picture}.png'), cv2.IMREAD_UNCHANGED)
    (sample,) = model(folder / 'images' / 'val' / f'{picture}.jpg', return_datasamples=True)
    found = sample.pred_region_map.data[0].numpy()
    names = [model.taxonomy.fine_classes[label] for label in sample.pred_regions.fine_labels]
    hits = {
        name
        for number, name in zip(sample.pred_regions.ids.tolist(), names)
        if _iou(found == number, truth == labels.index(name)) > 0.5
    }
    assert hits == pieces


@pytest.mark.parametrize(
    ('folder', 'product', 'number'), [('Packages__Juice', 'God-Morgon-Apple-Juice', 1), ('Vegetables', 'Red-Beet', 3)]
)
def test_names_groceries(real_data, folder, product, number):
    path = f'{folder}__{product}__{product}_{number:03}.jpg'
    model = load_model('deepunetto_grocery', device='cpu', show_progress=False)
    (sample,) = model(_data(real_data, 'grocery') / 'images' / 'val' / path, return_datasamples=True)
    votes = (sample.pred_regions.fine_scores * sample.pred_regions.areas[:, None]).sum(0)
    assert model.taxonomy.fine_classes[votes.argmax()] == product
