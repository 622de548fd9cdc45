# The plain alternative to deepunetto_grocery.py: a classifier of mmpretrain with the same encoder, pictures and schedule,
# of the whole picture, without masks. The group follows from the product. An epoch takes 3 minutes
# of one core: 165 steps of 1.2 s.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/datasets/grocery.py',
    './_base_/schedules/epochs12.py',
]
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])  # of R, G, B; those of the weights
model = dict(
    # Types without prefix, here and as defaults of mmpretrain's classes, are mmpretrain's.
    _scope_='mmpretrain',
    type='ImageClassifier',
    data_preprocessor=dict(type='ClsDataPreprocessor', **_norm, to_rgb=True),
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=81, in_channels=1280),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    # As in the base's pipeline.
    dict(type='mmpretrain.RandomResizedCrop', scale=160, crop_ratio_range=(0.43, 1.0), aspect_ratio_range=(1.0, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmpretrain.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.2, backend='cv2'),
    dict(type='mmpretrain.PackInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='mmpretrain.PackInputs')]
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, img_path='images/train'), mask_files=False, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(
    _delete_=True,  # the base has one that draws regions
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='deepunetto_mm.AtomicCheckpointHook', by_epoch=True, interval=5, max_keep_ckpts=2),
    channels_last=dict(type='deepunetto_mm.ChannelsLastHook'),
)
