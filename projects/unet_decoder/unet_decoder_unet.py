# Over mmseg's UNet, whose maps come from coarse to fine: in_index turns them round.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(_delete_=True, type='UNet', base_channels=16),
    decode_head=dict(
        in_channels=[16, 32, 64, 128, 256],
        strides=(1, 2, 4, 8, 16),
        in_index=(4, 3, 2, 1, 0),
        channels=(128, 64, 32, 16),
        out_stride=1,
    ),
    auxiliary_head=dict(in_channels=64, in_index=2),
)
