# The plain alternative to seeing shapes by luminance: rods that see all three colours.
_base_ = ['./deepunetto_shapes.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=3,
        stem_channels=16,
        base_channels=16,
        strides=(2, 2, 2, 2),
        out_indices=(0, 1, 2, 3),
        style='pytorch',
        zero_init_residual=False,
    )
)
