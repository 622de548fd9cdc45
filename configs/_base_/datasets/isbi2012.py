# ISBI 2012 (Arganda-Carreras et al., Frontiers in Neuroanatomy 9, 2015): cell membranes in electron micrographs of
# 512x512 pixels, the benchmark of the U-Net paper.
# Layout of data_root: images/{train,val}/*.png, masks/{train,val}/*.png with 0 for membrane and 1 for cell.
# The metric needs scikit-image (pip install -e .[split]).
data_root = 'data/isbi2012'
# Cells have only one fine class. They are a group so that they are regions, between which the weights are high.
taxonomy = dict(classes=['membrane', 'cell'], groups=[dict(name='cell', members=['cell'], fine_classes=['cell'])])
palette = [[0, 0, 0], [230, 190, 120]]
# 4 neighbours, as the metric counts cells: a membrane may be one pixel wide and run diagonally.
_annotations = [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions', connectivity=4)]

# The augmentation of the paper: rotated, deformed, shifted, brighter and darker.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    *_annotations,
    # All eight symmetries of the square, and what lies between: a section has no upright.
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    # A number alone would fill one channel of three.
    dict(type='RandomRotate', prob=1.0, degree=25, pad_val=(124, 124, 124), seg_pad_val=255),
    dict(type='deepunetto_mm.ElasticDeformation', sigma=10.0, points=3),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(256, 256)),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),  # grey has no hue and no saturation, so these do nothing
    dict(type='deepunetto_mm.AddBorderWeights', w0=10.0, sigma=5.0),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), *_annotations, dict(type='deepunetto_mm.PackRegionInputs')]
_dataset = dict(
    type='deepunetto_mm.CoarseFineDataset',
    data_root=data_root,
    metainfo=dict(taxonomy=taxonomy, palette=palette),
    img_suffix='.png',
    fine_label_file=None,
)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),  # an epoch of 20 pictures would be over at once
    dataset=dict(
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'), pipeline=train_pipeline, **_dataset
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='images/val', seg_map_path='masks/val'), pipeline=test_pipeline, **_dataset),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='deepunetto_mm.ISBI2012Metric')]
test_evaluator = val_evaluator
