# deepunetto_cityscapes.py with the segmentation of mmseg's UNet-S5-D16 + FCN, from scratch: any decode head works.
_base_ = ['./deepunetto_cityscapes.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='UNet',
        in_channels=3,
        base_channels=64,
        num_stages=5,
        strides=(1, 1, 1, 1, 1),
        enc_num_convs=(2, 2, 2, 2, 2),
        dec_num_convs=(2, 2, 2, 2),
        downsamples=(True, True, True, True),
        norm_cfg=dict(type='SyncBN'),
    ),
    # The backbone's maps, from coarse to fine, have 1024, 512, 256, 128 and 64 channels.
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=64,
        in_index=4,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=13,
        norm_cfg=dict(type='SyncBN'),
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    auxiliary_head=dict(in_channels=128, in_index=3),
    # Full resolution: a picture of 1024x2048 pixels does not fit into most GPUs at once.
    test_cfg=dict(_delete_=True, mode='slide', crop_size=(512, 1024), stride=(384, 768)),
)
