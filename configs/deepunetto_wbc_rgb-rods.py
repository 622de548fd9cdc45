# The plain alternative to seeing cells by luminance: rods that see all three colours.
_base_ = ['./deepunetto_wbc_one-laboratory.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=3,
        stem_channels=16,
        base_channels=24,
        strides=(2, 2, 2, 2),
        out_indices=(0, 1, 2, 3),
        style='pytorch',
    )
)
