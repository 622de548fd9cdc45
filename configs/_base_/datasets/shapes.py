# Generated data: shapes on clutter (generic, seen in luminance), each in one of four hues of the same luma
# (fine class, only visible in colour).
taxonomy = dict(
    classes=['clutter', 'disk', 'ring', 'cross'],
    groups=[
        dict(name='disk', members=['disk'], fine_classes=['red disk', 'green disk', 'cyan disk', 'violet disk']),
        dict(name='ring', members=['ring'], fine_classes=['red ring', 'green ring', 'cyan ring', 'violet ring']),
        dict(name='cross', members=['cross'], fine_classes=['red cross', 'green cross', 'cyan cross', 'violet cross']),
    ],
)
# The scenes are loaded and annotated already. Only inferencers read files.
train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.PackRegionInputs')]
# Each picture and its mirror image.
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
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='deepunetto_mm.RodConeShapes', num_scenes=1600, seed=0, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='deepunetto_mm.RodConeShapes', num_scenes=200, seed=1, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='deepunetto_mm.FineGrainedMetric')]
test_evaluator = val_evaluator
