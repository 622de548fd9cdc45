"""The examples that README.md and docs/model_zoo.md begin with: a folder of pictures becomes names and files."""

import ast
import json

import cv2
import pytest

from deepunetto_mm.datasets import RodConeShapes


@pytest.mark.parametrize('page', ['README.md', 'docs/model_zoo.md'])
def test_the_example_names_a_folder_of_pictures(page, example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'pictures').mkdir()
    scenes = RodConeShapes(num_scenes=4, seed=2)
    drawn = {}
    for index in (2, 3):
        scene = scenes[index]
        assert cv2.imwrite(f'pictures/{index}.png', scene['img'])
        drawn[f'pictures/{index}.png'] = sorted(
            scenes.taxonomy.fine_classes[label] for label in scene['regions']['fine_labels']
        )
    exec(example(page, "('pictures/', out_dir='outputs')"), {})
    lines = [line.partition(' ') for line in capsys.readouterr().out.splitlines() if line.startswith('pictures/')]
    printed = {picture: ast.literal_eval(regions) for picture, _, regions in lines}
    assert {picture: sorted(name for name, _ in regions) for picture, regions in printed.items()} == drawn
    assert all(0.5 < score <= 1 for regions in printed.values() for _, score in regions)
    for picture, regions in printed.items():
        (written,) = (tmp_path / 'outputs').rglob(f'{picture[-5]}.json')
        found = json.loads(written.read_text())['regions']
        assert [(region['fine_class'], region['fine_score']) for region in found] == regions
