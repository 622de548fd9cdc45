# Cityscapes (Cordts et al., CVPR 2016), fine annotations: street scenes of 1024x2048 pixels, 2975 to train and 500 to validate.
# data_root is the unchanged official download: leftImg8bit/{train,val,test}/CITY, gtFine/{train,val}/CITY; docs/cityscapes.md.
data_root = 'data/cityscapes'
# For the model; the datasets have the same by default, unless metainfo=dict(taxonomy=...) replaces it.
taxonomy = dict(
    classes=[
        'road',
        'sidewalk',
        'building',
        'wall',
        'fence',
        'pole',
        'traffic light',
        'traffic sign',
        'vegetation',
        'terrain',
        'sky',
        'human',
        'vehicle',
    ],
    groups=[
        dict(name='human', members=['human'], fine_classes=['person', 'rider']),
        dict(
            name='vehicle',
            members=['vehicle'],
            fine_classes=['car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'],
        ),
    ],
)
# The official label ids: 19 classes, and those that the benchmark does not evaluate.
labels = {
    7: 'road',
    8: 'sidewalk',
    11: 'building',
    12: 'wall',
    13: 'fence',
    17: 'pole',
    19: 'traffic light',
    20: 'traffic sign',
    21: 'vegetation',
    22: 'terrain',
    23: 'sky',
    24: 'person',
    25: 'rider',
    26: 'car',
    27: 'truck',
    28: 'bus',
    31: 'train',
    32: 'motorcycle',
    33: 'bicycle',
}
ignored = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]
categories = {
    'flat': ['road', 'sidewalk'],
    'construction': ['building', 'wall', 'fence'],
    'object': ['pole', 'traffic light', 'traffic sign'],
    'nature': ['vegetation', 'terrain'],
    'sky': ['sky'],
    'human': ['person', 'rider'],
    'vehicle': ['car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'],
}
# Objects below 100 pixels are not counted in the official instance task, nor here; their pixels are.
load_annotations = dict(
    type='deepunetto_mm.LoadComposedAnnotations', labels=labels, ignored=ignored, min_region_id=1000, min_area=100
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    load_annotations,
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(512, 1024), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=100),
]
# The annotations of a test pipeline keep the picture's size, as the official evaluation requires.
test_pipeline = [dict(type='LoadImageFromFile'), load_annotations, dict(type='deepunetto_mm.PackRegionInputs')]
# Each picture and its mirror image.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [load_annotations],
            [dict(type='deepunetto_mm.PackRegionInputs')],
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='deepunetto_mm.CityscapesFineDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train', region_map_path='gtFine/train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='deepunetto_mm.CityscapesFineDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val', region_map_path='gtFine/val'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='deepunetto_mm.FineGrainedMetric', categories=categories),
]
# The official evaluation takes minutes: only at the end.
test_evaluator = [*val_evaluator, dict(type='deepunetto_mm.CityscapesMetric')]
