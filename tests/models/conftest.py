"""A network small enough to test by value, and scenes for it."""

from typing import Any, Callable, Sequence

import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models import DeepUNetto
from deepunetto_mm.registry import MODELS

TAXONOMY = dict(
    classes=['grass', 'dog', 'cat', 'sky'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
        dict(name='cat', members=['cat'], fine_classes=['tabby']),
    ],
)


@MODELS.register_module()
class TinyBackbone(nn.Module):
    """Two feature maps of strides 1 and 2; GroupNorm, so that a batch equals its pictures."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(in_channels, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        return first, self.second(first)


@MODELS.register_module()
class Oracle(nn.Module):
    """A backbone that passes the picture on."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x]


@MODELS.register_module()
class ColourSegmentation(FCNHead):
    """Reads the classes off the picture: red is a dog, green a cat, blue sky, black grass."""

    def __init__(self, num_classes: int = 4, sharpness: float = 10.0) -> None:
        super().__init__(
            in_channels=3,
            channels=3,
            num_convs=0,
            concat_input=False,
            num_classes=num_classes,
            loss_decode=dict(type='mmseg.CrossEntropyLoss'),
        )
        self.sharpness = sharpness

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        x = inputs[0]
        grass = 0.5 * torch.ones_like(x[:, :1])
        return self.sharpness * torch.cat([grass, x], dim=1)

    def forward_features(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0]

    def cls_seg(self, feat: Tensor) -> Tensor:
        return self.forward([feat])


def _tiny_decoder(**options: Any) -> dict:
    """Config of its decode head; ``options`` replace its entries."""
    config = dict(
        type='deepunetto_mm.UNetDecoder',
        in_channels=[8, 8],
        strides=(1, 2),
        channels=(8,),
        num_classes=4,
        dropout_ratio=0.0,
        norm_cfg=dict(type='GN', num_groups=2),
        loss_decode=dict(type='mmseg.CrossEntropyLoss'),
    )
    return {**config, **options}


def _tiny_config(**options: Any) -> dict:
    """Config of a tiny DeepUNetto; ``options`` replace its entries."""
    config = dict(
        taxonomy=TAXONOMY,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size_divisor=1),
        backbone=dict(type='deepunetto_mm.TinyBackbone'),
        decode_head=_tiny_decoder(),
        region_proposer=dict(type='deepunetto_mm.ConnectedComponentsProposer', min_area=4),
        crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=6),
        fine_backbone=dict(type='deepunetto_mm.TinyBackbone'),
        fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=8),
    )
    config.update(options)
    return {key: value for key, value in config.items() if value is not None}


@pytest.fixture
def tiny_decoder() -> Callable[..., dict]:
    return _tiny_decoder


@pytest.fixture
def binary() -> dict:
    """Options of a network of two classes by one output."""
    loss = dict(type='mmseg.CrossEntropyLoss', use_sigmoid=True)
    return dict(
        taxonomy=dict(
            classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer'])]
        ),
        decode_head=_tiny_decoder(num_classes=2, out_channels=1, threshold=0.5, loss_decode=loss),
    )


@pytest.fixture
def tiny() -> Callable[..., DeepUNetto]:
    def build(**options: Any) -> DeepUNetto:
        torch.manual_seed(0)
        model = DeepUNetto(**_tiny_config(**options))
        model.init_weights()
        return model

    return build


@pytest.fixture
def colour_reader(tiny) -> Callable[..., DeepUNetto]:
    """A network whose segmentation is right by construction, with a random fine branch."""

    def build(**options: Any) -> DeepUNetto:
        return tiny(
            backbone=dict(type='deepunetto_mm.Oracle'),
            decode_head=dict(type='deepunetto_mm.ColourSegmentation'),
            **options,
        ).eval()

    return build


@pytest.fixture
def scene() -> Callable[..., tuple[Tensor, SegDataSample]]:
    """``scene(boxes, fine_labels)``: a picture and its data sample."""
    return _annotated


COLOURS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def _draw(
    boxes: Sequence[tuple[int, int, int, int, int]], size: tuple[int, int] = (16, 20)
) -> tuple[Tensor, Tensor, Tensor]:
    """Picture (3, H, W), labels and region map (H, W) of boxes ``(x1, y1, x2, y2, class)``."""
    labels, regions = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    for number, (x1, y1, x2, y2, label) in enumerate(boxes, 1):
        labels[y1:y2, x1:x2], regions[y1:y2, x1:x2] = label, number
    return COLOURS[labels].permute(2, 0, 1).contiguous(), labels, regions


def _annotated(
    boxes: Sequence[tuple[int, int, int, int, int]], fine: Sequence[int], size: tuple[int, int] = (16, 20)
) -> tuple[Tensor, SegDataSample]:
    """A picture and its data sample, as PackRegionInputs would make it."""
    picture, labels, regions = _draw(boxes, size)
    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, img_path='scene.png'))
    sample.gt_sem_seg = PixelData(data=labels[None])
    sample.set_data(
        dict(
            gt_region_map=PixelData(data=regions[None]),
            gt_regions=InstanceData(
                ids=torch.arange(1, len(boxes) + 1),
                labels=torch.tensor([box[4] - 1 for box in boxes], dtype=torch.long),
                fine_labels=torch.tensor(fine, dtype=torch.long),
                bboxes=torch.tensor([box[:4] for box in boxes], dtype=torch.float32).reshape(len(boxes), 4),
            ),
        )
    )
    return picture, sample


_TILES = dict(mode='tile', tile_size=(8, 12), margin=4, size_divisor=2, tiles_per_batch=3)


@pytest.fixture(
    params=[
        dict(),
        dict(mode='slide', crop_size=(10, 10), stride=(6, 6)),
        _TILES,
        dict(_TILES, margin=0, blending='gaussian'),
        dict(_TILES, keep_logits=False),
    ],
    ids=str,
)
def mode(request):
    """Options of ``test_cfg``: the ways through the network that maps and regions must not depend on."""
    return request.param
