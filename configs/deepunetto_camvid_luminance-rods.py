# CamVid segmented by luminance, like the eye's rods; the crops have the picture's colours and the rods' features.
_base_ = ['./deepunetto_camvid.py']
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])  # of the pretrained weights
model = dict(
    backbone=dict(
        _delete_=True,
        type='deepunetto_mm.LuminanceBackbone',
        **_norm,
        backbone=dict(
            type='mmpretrain.TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            features_only=True,
            in_channels=1,
            init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
        ),
    )
)
