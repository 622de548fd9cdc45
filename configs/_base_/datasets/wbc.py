# White blood cells (Zheng et al., Micron 107, 2018): smears of about 120x120 pixels, one cell each.
# Layout of data_root: images/{train,val}/*.png, masks/{train,val}/*.png, labels.csv; see docs/data_format.md.
data_root = 'data/wbc1'
taxonomy = dict(
    classes=['background', 'cytoplasm', 'nucleus'],
    groups=[
        dict(
            name='cell',
            members=['cytoplasm', 'nucleus'],
            fine_classes=['neutrophil', 'lymphocyte', 'monocyte', 'eosinophil', 'basophil'],
        )
    ],
)
metainfo = dict(taxonomy=taxonomy, palette=[[0, 0, 0], [240, 170, 190], [130, 60, 160]])

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions', min_area=32),
    # All eight symmetries of the square; a cell has no upright.
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    dict(type='RandomRotate', prob=0.3, degree=45, pad_val=0, seg_pad_val=255),
    # Mild: eosinophils and neutrophils differ by the colour of the cytoplasm.
    dict(
        type='deepunetto_mm.PhotoMetricDistortion',
        brightness_delta=10,
        contrast_range=(0.9, 1.1),
        saturation_range=(0.9, 1.1),
        hue_delta=3,
    ),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=32),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions', min_area=32),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        img_suffix='.png',
        fine_label_file='labels.csv',
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='deepunetto_mm.CoarseFineDataset',
        data_root=data_root,
        metainfo=metainfo,
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        img_suffix='.png',
        fine_label_file='labels.csv',
        split='val',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='deepunetto_mm.FineGrainedMetric'),
]
test_evaluator = val_evaluator
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='deepunetto_mm.LoadRegions', min_area=32)],
            [dict(type='deepunetto_mm.PackRegionInputs')],
        ],
    ),
]
