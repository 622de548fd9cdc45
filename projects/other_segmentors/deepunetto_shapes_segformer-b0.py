# SegFormer-B0 paints, over luminance, and the fine branch reads its maps of strides 4 and 8 beside the colours.
_base_ = '../../configs/deepunetto_shapes.py'
model = dict(
    backbone=dict(
        backbone=dict(_delete_=True, type='MixVisionTransformer', in_channels=1, embed_dims=32, num_heads=(1, 2, 5, 8))
    ),
    decode_head=dict(
        _delete_=True,
        type='SegformerHead',
        in_channels=[32, 64, 160, 256],
        in_index=[0, 1, 2, 3],
        channels=128,
        num_classes=4,
        dropout_ratio=0.1,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    crop_neck=dict(in_index=(0, 1)),
    fine_backbone=dict(in_channels=99),  # 3 + 32 + 64
)
