# A config of mmpretrain's, nothing but the head is ours: a folder of pictures for each fine class, as CustomDataset has them.
# Folders are numbered by the alphabet. So are the fine classes here, group after group: they begin with the group's name.
default_scope = 'mmpretrain'
data_root = 'data/shop'
taxonomy = dict(
    classes=['apple', 'milk'],
    groups=[
        dict(name='apple', members=['apple'], fine_classes=['apple_fuji', 'apple_gala']),
        dict(name='milk', members=['milk'], fine_classes=['milk_oat', 'milk_whole']),
    ],
)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(type='ResNet', depth=18, style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='deepunetto_mm.HierarchicalClsHead',
        taxonomy=taxonomy,
        in_channels=512,
        fine_head=dict(type='deepunetto_mm.FineGrainedHead', condition='soft'),
    ),
)
train_pipeline = [
    dict(type='deepunetto_mm.CheckFiles'),
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='deepunetto_mm.CheckFiles'),
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
_dataset = dict(type='CustomDataset', data_root=data_root, metainfo=dict(taxonomy=taxonomy))
train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(data_prefix='train', pipeline=train_pipeline, **_dataset),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix='val', pipeline=test_pipeline, **_dataset),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='deepunetto_mm.PictureAccuracy')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(type='LoggerHook', interval=50))
custom_hooks = [dict(type='deepunetto_mm.TaxonomyHook')]
