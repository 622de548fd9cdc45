# The control of deepunetto_camvid_luminance-rods.py: no branch sees colour.
_base_ = ['./deepunetto_camvid_luminance-rods.py']
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(
    fine_backbone=dict(
        _delete_=True,
        type='deepunetto_mm.LuminanceBackbone',
        **_norm,
        backbone=dict(
            type='mmpretrain.ResNet_CIFAR',
            depth=18,
            in_channels=177,  # 1 + 24 + 40 + 112
            stem_channels=32,
            base_channels=32,
            strides=(1, 2, 2, 2),
            out_indices=(3,),
            style='pytorch',
            norm_cfg=dict(type='GN', num_groups=8),
        ),
    )
)
