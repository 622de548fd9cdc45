"""The page's networks give what the inferencer and the runtime give."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config

pytest.importorskip('fastapi')

from deepunetto_mm.apis import DeepUNettoInferencer, load_model
from deepunetto_mm.datasets import RodConeShapes
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.web import Gallery, TrainedModel


def test_regions_are_those_of_the_inferencer(tmp_path):
    inferencer = load_model('deepunetto_shapes', device='cpu', show_progress=False)
    cv2.imwrite(str(tmp_path / 'a.png'), RodConeShapes(num_scenes=1, seed=2)[0]['img'])
    (expected,) = inferencer(tmp_path / 'a.png')
    assert expected['regions']
    gallery = Gallery(TrainedModel(inferencer, 'shapes'))
    picture = gallery.add('a.png', (tmp_path / 'a.png').read_bytes())
    assert picture.regions == [dict(region, corrected=None, dropped=False) for region in expected['regions']]
    (sample,) = inferencer(tmp_path / 'a.png', return_datasamples=True)
    np.testing.assert_array_equal(picture.region_map, sample.pred_region_map.data[0])
    np.testing.assert_array_equal(picture.labels, sample.pred_sem_seg.data[0])
    assert gallery.model.names.palette[1] == (230, 159, 0)


def test_networks_without_regions_are_refused(repository):
    cfg = Config.fromfile(repository / 'tests/data/tiny_config.py')
    for part in ('region_proposer', 'crop_neck', 'fine_backbone', 'fine_head'):
        cfg.model.pop(part)
    with pytest.raises(UsageError, match='plain: the network has no region_proposer'):
        TrainedModel(DeepUNettoInferencer(cfg, device='cpu', show_progress=False), 'plain')
