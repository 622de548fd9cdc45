# The U-Net of many tutorials: padded, batch norm, 16 to 256 channels, dropout, one sigmoid for a binary mask of a
# grey picture of 128x128 pixels. All parts are mmseg's; here with dropout only before the classifier. On ISBI 2012.
_base_ = ['./_base_/default_runtime.py', './_base_/datasets/isbi2012.py', './_base_/schedules/iters4k.py']
_norm = dict(mean=[124.0, 124.0, 124.0], std=[42.5, 42.5, 42.5])  # of the training pictures
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', **_norm, bgr_to_rgb=True, pad_val=0, size=(128, 128)),
    # The pictures are grey, and read as three equal channels.
    backbone=dict(
        type='deepunetto_mm.LuminanceBackbone',
        **_norm,
        backbone=dict(
            type='mmseg.UNet',
            in_channels=1,
            base_channels=16,
            upsample_cfg=dict(type='mmseg.DeconvModule'),
        ),
    ),
    # A single 1x1 convolution; class 1, cell, where its sigmoid is above the threshold.
    decode_head=dict(
        type='FCNHead',
        in_channels=16,
        in_index=4,
        channels=16,
        num_convs=0,
        concat_input=False,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        dropout_ratio=0.1,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

# Plain, as in tutorials. Pictures of 512x512 are tested as a whole, because any multiple of 16 is valid.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions', connectivity=4),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(128, 128)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3))
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
