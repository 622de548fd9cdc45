# Over mmpretrain's MobileNetV3-Small: the last map of each stride, from 2 on. Layer 12 is the last: one that the decoder left out
# would be built, and never trained.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.MobileNetV3', arch='small', out_indices=(0, 1, 3, 8, 12)),
    decode_head=dict(
        in_channels=[16, 16, 24, 48, 576], strides=(2, 4, 8, 16, 32), channels=(96, 64, 48, 32), out_stride=2
    ),
    auxiliary_head=dict(in_channels=48, in_index=3),
)
