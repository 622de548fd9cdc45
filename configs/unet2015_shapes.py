# The parts of the U-Net of 2015 on generated data, to see and try them without a download: three levels of 16 to 64
# channels, with a context of 20 pixels. The network of the paper is in unet2015_isbi2012.py.
_base_ = ['./_base_/default_runtime.py', './_base_/datasets/shapes.py', './_base_/schedules/epochs4.py']
_norm = dict(mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75])
model = dict(
    type='deepunetto_mm.TiledEncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', **_norm, bgr_to_rgb=True, pad_val=0, size=(168, 168)),
    backbone=dict(
        type='deepunetto_mm.LuminanceBackbone',
        **_norm,
        backbone=dict(type='deepunetto_mm.UNet2015Encoder', channels=(16, 32, 64)),
    ),
    decode_head=dict(
        type='deepunetto_mm.UNet2015Head',
        in_channels=(16, 32, 64),
        num_classes=4,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    # Four tiles of 104 pixels, which overlap by their margins of 20, are a picture.
    test_cfg=dict(mode='tile', tile_size=(64, 64)),
)

train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='deepunetto_mm.MirrorPad', padding=20),
    # Scenes have a quarter of the width of the paper's pictures.
    dict(type='deepunetto_mm.ElasticDeformation', sigma=5.0, points=3),
    dict(type='deepunetto_mm.AddBorderWeights', w0=10.0, sigma=5.0),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
# Shapes that touch others of their group: the purpose of the weights.
train_dataloader = dict(dataset=dict(max_shapes=20, crowded=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(max_shapes=20, crowded=True))
test_dataloader = val_dataloader
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
test_evaluator = val_evaluator
