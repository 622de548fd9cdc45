# The plain alternative, to compare with: mmseg's FCN over a dilated ResNet-18, with its auxiliary head.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=512,
        in_index=3,
        channels=128,
        num_convs=2,
        num_classes=4,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
)
