# mmengine's pure Python style: types are classes, and bases are imported. As tiny_config.py, and as small.
from mmcv.transforms import LoadImageFromFile, TestTimeAug
from mmengine.dataset import ConcatDataset, DefaultSampler, InfiniteSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop, TestLoop
from mmengine.visualization import LocalVisBackend
from mmpretrain.models.backbones import ResNet_CIFAR
from mmseg.datasets.transforms.transforms import RandomFlip
from mmseg.evaluation import IoUMetric
from mmseg.models import CrossEntropyLoss, SegDataPreProcessor
from torch.optim import AdamW

from deepunetto_mm.datasets import PackRegionInputs, RodConeShapes
from deepunetto_mm.engine.hooks import AtomicCheckpointHook, RegionVisualizationHook, TaxonomyHook
from deepunetto_mm.evaluation.metrics import FineGrainedMetric
from deepunetto_mm.models.decode_heads import UNetDecoder
from deepunetto_mm.models.heads import FineGrainedHead
from deepunetto_mm.models.necks import MaskGuidedRoICrop
from deepunetto_mm.models.regions import ConnectedComponentsProposer
from deepunetto_mm.models.segmentors import DeepUNetto, DeepUNettoTTA
from deepunetto_mm.visualization import RegionVisualizer

default_scope = 'mmseg'
_colours, _shapes = ('red', 'green', 'cyan', 'violet'), ('disk', 'ring', 'cross')
taxonomy = dict(
    classes=['clutter', *_shapes],
    groups=[dict(name=s, members=[s], fine_classes=[f'{c} {s}' for c in _colours]) for s in _shapes],
)
_network = dict(
    type=ResNet_CIFAR, depth=18, stem_channels=8, base_channels=8, strides=(2, 2, 2, 2), style='pytorch'
)
model = dict(
    type=DeepUNetto,
    taxonomy=taxonomy,
    data_preprocessor=dict(
        type=SegDataPreProcessor, mean=[127.5] * 3, std=[63.75] * 3, bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size=(64, 64)
    ),
    backbone=dict(out_indices=(0, 1, 2, 3), **_network),
    decode_head=dict(
        type=UNetDecoder,
        num_classes=4,
        in_channels=[8, 16, 32, 64],
        strides=(2, 4, 8, 16),
        channels=(8, 8, 8, 8),
        out_stride=1,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type=CrossEntropyLoss),
    ),
    region_proposer=dict(type=ConnectedComponentsProposer, min_area=8),
    crop_neck=dict(type=MaskGuidedRoICrop, output_size=16),
    fine_backbone=dict(out_indices=(3,), **_network),
    fine_head=dict(type=FineGrainedHead, in_channels=64),
)
tta_model = dict(type=DeepUNettoTTA)
_pack = dict(type=PackRegionInputs)
tta_pipeline = [dict(type=TestTimeAug, transforms=[[dict(type=RandomFlip, prob=1.0)], [_pack]])]
_scenes = dict(type=RodConeShapes, num_scenes=2, seed=0, size=(64, 64))
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type=InfiniteSampler), dataset=dict(pipeline=[_pack], **_scenes)
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=ConcatDataset, datasets=[dict(pipeline=[dict(type=LoadImageFromFile), _pack], test_mode=True, **_scenes)] * 2
    ),
)
test_evaluator = [dict(type=IoUMetric, iou_metrics=['mIoU']), dict(type=FineGrainedMetric)]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=1)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
default_hooks = dict(
    checkpoint=dict(type=AtomicCheckpointHook, by_epoch=False, interval=1),
    visualization=dict(type=RegionVisualizationHook),
    taxonomy=dict(type=TaxonomyHook),
)
visualizer = dict(type=RegionVisualizer, vis_backends=[dict(type=LocalVisBackend)], name='visualizer')
log_processor = dict(by_epoch=False)
