# The tiny network with two of its four stages, for trainings that need not go deeper: they take half as long.
_base_ = 'tiny_config.py'
_two_stages = dict(num_stages=2, strides=(2, 2), dilations=(1, 1))
model = dict(
    backbone=dict(backbone=dict(out_indices=(0, 1), **_two_stages)),
    decode_head=dict(in_channels=[8, 16], strides=(2, 4), channels=(8, 8)),
    fine_backbone=dict(out_indices=(1,), **_two_stages),
    fine_head=dict(in_channels=16),
)
