# A modern U-Net on the benchmark of the first one, which is in unet2015_isbi2012.py: padded, batch norm, residual
# encoder, AdamW; same data, weights of the pixels and scores. From scratch.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet18-cifar.py',
    './_base_/datasets/isbi2012.py',
    './_base_/schedules/iters4k.py',
]
_norm = dict(mean=[124.0, 124.0, 124.0], std=[42.5, 42.5, 42.5])  # of the training pictures
model = dict(
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=dict(**_norm, size=(256, 256)),
    backbone=dict(**_norm),
    decode_head=dict(num_classes=2, loss_decode=[dict(type='CrossEntropyLoss', avg_non_ignore=True)]),
    # Only segmentation: the metric finds the cells.
    region_proposer=None,
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
