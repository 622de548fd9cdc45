# DeepLabV3+ paints, the fine branch names: backbone, decode head and auxiliary head are mmseg's deeplabv3plus_r18-d8.
_base_ = '../../configs/deepunetto_shapes.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetV1c',
        depth=18,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        style='pytorch',
    ),
    decode_head=dict(
        _delete_=True,
        type='DepthwiseSeparableASPPHead',
        in_channels=512,
        in_index=3,
        channels=128,
        dilations=(1, 12, 24, 36),
        c1_in_channels=64,
        c1_channels=12,
        num_classes=4,
        dropout_ratio=0.1,
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
)
