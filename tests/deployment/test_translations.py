import numpy as np
import pytest
import torch
from torch import nn

from deepunetto_mm.deployment.translations import TRANSLATIONS, replace_same_convolutions
from deepunetto_mm.models.backbones import ReducedBackbone
from deepunetto_mm.registry import MODELS

pytest.importorskip('onnxscript')
onnxruntime = pytest.importorskip('onnxruntime')
Conv2dSame = pytest.importorskip('timm.layers').Conv2dSame


def test_one_export_computes_what_timm_does_at_every_size():
    network = nn.Sequential(
        Conv2dSame(3, 4, 3, stride=2, bias=False),
        Conv2dSame(4, 4, 5, stride=2, groups=4),
        Conv2dSame(4, 2, 3),
    ).eval()
    pictures = [torch.rand(1, 3, *size) for size in [(16, 16), (17, 22), (19, 33)]]
    with torch.no_grad():
        expected = [network(picture) for picture in pictures]
    replace_same_convolutions(network)
    _assert_equal(network, pictures, expected)


@MODELS.register_module()
class Passed(nn.Module):
    """Returns what it is given."""

    def forward(self, x):
        return x


def test_a_reduced_picture_has_the_rounded_size():
    network = ReducedBackbone(dict(type='deepunetto_mm.Passed')).eval()
    pictures = [torch.rand(1, 3, *size) for size in [(16, 16), (5, 7), (37, 50)]]
    expected = [network(picture) for picture in pictures]
    assert [tuple(reduced.shape[2:]) for reduced in expected] == [(8, 8), (2, 4), (18, 25)]
    _assert_equal(network, pictures, expected)


def _assert_equal(network, pictures, expected):
    program = torch.onnx.export(
        network,
        (torch.rand(2, 3, 16, 18),),
        dynamic_shapes=({0: 'N', 2: 'H', 3: 'W'},),
        dynamo=True,
        opset_version=20,
        custom_translation_table=TRANSLATIONS,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    name = session.get_inputs()[0].name
    for picture, wanted in zip(pictures, expected):
        (found,) = session.run(None, {name: picture.numpy()})
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-6)


def test_dilated_ones_are_left_alone():
    dilated = Conv2dSame(2, 2, 3, dilation=2)
    picture = torch.rand(1, 2, 9, 9)
    expected = dilated(picture)
    replace_same_convolutions(dilated)
    assert torch.equal(dilated(picture), expected)
