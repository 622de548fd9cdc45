# Embedded data, drawn on the fly: shapes on clutter (generic, seen in luminance), each in one of four hues of the same luma
# (specific, seen in colour alone).
taxonomy = dict(
    classes=['clutter', 'disk', 'square', 'triangle'],
    groups=[
        dict(name='disk', members=['disk'], fine_classes=['red disk', 'green disk', 'cyan disk', 'violet disk']),
        dict(name='square', members=['square'], fine_classes=['red square', 'green square', 'cyan square', 'violet square']),
        dict(
            name='triangle',
            members=['triangle'],
            fine_classes=['red triangle', 'green triangle', 'cyan triangle', 'violet triangle']),
    ])
# The scenes come loaded and annotated: there is nothing to read.
train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
test_pipeline = [dict(type='deepunetto_mm.PackRegionInputs')]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='deepunetto_mm.RodConeShapes', num_scenes=1000, seed=0, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='deepunetto_mm.RodConeShapes', num_scenes=200, seed=1, pipeline=test_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='deepunetto_mm.FineGrainedMetric')]
test_evaluator = val_evaluator
