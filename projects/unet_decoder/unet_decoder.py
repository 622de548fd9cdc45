# mmseg's EncoderDecoder over its ResNetV1c, with UNetDecoder as decode head; everything else is mmseg's own.
_base_ = [
    '../../configs/_base_/default_runtime.py',
    '../../configs/_base_/datasets/shapes.py',
    '../../configs/_base_/schedules/epochs4.py',
]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
    ),
    backbone=dict(type='ResNetV1c', depth=18, style='pytorch'),
    decode_head=dict(
        type='deepunetto_mm.UNetDecoder',
        # The backbone's maps from fine to coarse: their channels and strides.
        in_channels=[64, 128, 256, 512],
        strides=(4, 8, 16, 32),
        # A stage for each map but the coarsest, from coarse to fine.
        channels=(128, 64, 48),
        out_stride=4,
        num_classes=4,
        dropout_ratio=0.1,
        # Only the hardest pixels count: those with less than 0.7 for their class, and 1000 a picture at least.
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=1000),
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=256,
        in_index=2,
        channels=64,
        num_convs=1,
        concat_input=False,
        num_classes=4,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
test_evaluator = val_evaluator
