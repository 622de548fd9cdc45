# mmpretrain's ImageClassifier for people who have masks: each region of the picture is cut out along its mask, and named.
_base_ = [
    '../../configs/_base_/default_runtime.py',
    '../../configs/_base_/datasets/shapes.py',
    '../../configs/_base_/schedules/epochs4.py',
]
model = dict(
    _scope_='mmpretrain',
    type='deepunetto_mm.RegionClassifier',
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
    ),
    crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=64, guidance='hard', margin=0.1),
    backbone=dict(type='ResNet', depth=18, style='pytorch'),
    head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=512),
    max_regions=64,
)
val_evaluator = [dict(type='deepunetto_mm.FineGrainedMetric')]
test_evaluator = val_evaluator
