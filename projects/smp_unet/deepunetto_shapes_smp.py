# smp.Unet paints, the fine branch names.
_base_ = '../../configs/deepunetto_shapes.py'
custom_imports = dict(imports=['smp_unet_decoder'])
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    decode_head=dict(
        _delete_=True,
        type='deepunetto_mm.SmpUNetDecoder',
        in_channels=[16, 24, 40, 112, 320],
        num_classes=4,
        dropout_ratio=0.1,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
