# The smallest run that goes through everything: 2 steps on 4 scenes of 64x64 pixels, then a test on 3.
_base_ = [
    '../../configs/_base_/default_runtime.py',
    '../../configs/_base_/models/deepunetto_resnet18-cifar.py',
    '../../configs/_base_/datasets/shapes.py',
]
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    taxonomy={{_base_.taxonomy}},
    backbone=dict(backbone=dict(stem_channels=8, base_channels=8)),
    decode_head=dict(in_channels=[8, 16, 32, 64], channels=(8, 8, 8, 8), num_classes=4),
    crop_neck=dict(output_size=16),
    fine_backbone=dict(stem_channels=8, base_channels=8),
    fine_head=dict(in_channels=64),
)

_scenes = dict(
    type='deepunetto_mm.RodConeShapes', size=(64, 64), pipeline=[dict(type='deepunetto_mm.PackRegionInputs')]
)
train_dataloader = dict(
    _delete_=True,
    batch_size=2,
    num_workers=0,
    persistent_workers=True,  # as after --cfg-options train_dataloader.num_workers=0
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(num_scenes=4, seed=0, **_scenes),
)
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(num_scenes=3, seed=1, test_mode=True, **_scenes),
)
val_dataloader = test_dataloader
test_evaluator = [
    dict(type='IoUMetric'),
    dict(type='deepunetto_mm.FineGrainedMetric', confusion_matrix=None),  # drawing it takes as long as the rest
]
val_evaluator = test_evaluator
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
tta_pipeline = [
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='deepunetto_mm.PackRegionInputs')],
        ],
    )
]

train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = []
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1), logger=dict(interval=1))
