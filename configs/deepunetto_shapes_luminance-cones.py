# The counter-experiment: cones that see luminance alone cannot tell the hues, since all have the same luma.
_base_ = ['./deepunetto_shapes.py']
model = dict(
    fine_backbone=dict(
        _delete_=True,
        type='deepunetto_mm.LuminanceBackbone',
        mean={{_base_.model.data_preprocessor.mean}},
        std={{_base_.model.data_preprocessor.std}},
        backbone=dict(
            type='mmpretrain.ResNet_CIFAR',
            depth=18,
            in_channels=1,
            stem_channels=16,
            base_channels=16,
            strides=(2, 2, 2, 2),
            out_indices=(3,),
            style='pytorch',
            norm_cfg=dict(type='GN', num_groups=8),
        ),
    )
)
