# COCO 2017 (Lin et al., ECCV 2014): photographs of up to 640x640 pixels, 118,287 to train on and 5000 to validate; 80 categories of
# 12 supercategories. data_root has the layout of mmdetection: annotations/instances_{train,val}2017.json, {train,val}2017; docs/coco.md.
data_root = 'data/coco'
# The taxonomy that CocoFineDataset reads from the annotation file. It is here for the model, and so that the file is read once.
_groups = {
    'person': ['person'],
    'vehicle': ['bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat'],
    'outdoor': ['traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench'],
    'animal': ['bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe'],
    'accessory': ['backpack', 'umbrella', 'handbag', 'tie', 'suitcase'],
    'sports': [
        'frisbee',
        'skis',
        'snowboard',
        'sports ball',
        'kite',
        'baseball bat',
        'baseball glove',
        'skateboard',
        'surfboard',
        'tennis racket',
    ],
    'kitchen': ['bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl'],
    'food': ['banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake'],
    'furniture': ['chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet'],
    'electronic': ['tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone'],
    'appliance': ['microwave', 'oven', 'toaster', 'sink', 'refrigerator'],
    'indoor': ['book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush'],
}
taxonomy = dict(
    classes=['background', *_groups],
    groups=[dict(name=name, members=[name], fine_classes=fine) for name, fine in _groups.items()],
)
_load = [dict(type='LoadImageFromFile'), dict(type='deepunetto_mm.LoadCocoAnnotations')]

train_pipeline = [
    *_load,
    dict(type='RandomResize', scale=(640, 640), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(512, 512), cat_max_ratio=0.9),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=64),
]
test_pipeline = [*_load, dict(type='deepunetto_mm.PackRegionInputs')]
_dataset = dict(type='deepunetto_mm.CocoFineDataset', data_root=data_root, metainfo=dict(taxonomy=taxonomy))
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img_path='train2017'),
        pipeline=train_pipeline,
        **_dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img_path='val2017'),
        test_mode=True,
        pipeline=test_pipeline,
        **_dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='deepunetto_mm.FineGrainedMetric'),
    dict(type='deepunetto_mm.CocoMetric', data_root=data_root, ann_file='annotations/instances_val2017.json'),
]
test_evaluator = val_evaluator
