# CamVid (Brostow et al., PRL 2009) in the 11 classes and the split of SegNet: road scenes of 480x360 pixels.
# Layout of data_root: images/{train,val}/*.jpg, masks/{train,val}/*.png with the 11 classes, 255 to ignore.
data_root = 'data/camvid'
_stuff = ['sky', 'building', 'road', 'pavement', 'tree']
_kinds = {'road user': ['car', 'pedestrian', 'bicyclist'], 'street furniture': ['pole', 'sign', 'fence']}
# By mask value. The masks have the specific class; the taxonomy decides which of them the segmentation distinguishes: five
# stuff classes and two kinds of objects,
labels = [
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
]
taxonomy = dict(
    classes=[*_stuff, *_kinds],
    groups=[dict(name=kind, members=[kind], fine_classes=names) for kind, names in _kinds.items()],
)
_colours = [[128, 128, 128], [128, 0, 0], [128, 64, 128], [60, 40, 222], [128, 128, 0]]
palette = [*_colours, [64, 0, 128], [192, 192, 128]]
# or all eleven.
taxonomy_of_names = dict(
    classes=[*_stuff, *_kinds['road user'], *_kinds['street furniture']],
    groups=[dict(name=kind, members=names, fine_classes=names) for kind, names in _kinds.items()],
)
palette_of_names = [
    *_colours,
    *[[64, 0, 128], [64, 64, 0], [0, 128, 192]],
    *[[192, 192, 128], [192, 128, 128], [64, 64, 128]],
]
load_annotations = dict(type='deepunetto_mm.LoadComposedAnnotations', labels=labels, min_area=20)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    load_annotations,
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.6, 1.4), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(224, 224), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
test_pipeline = [dict(type='LoadImageFromFile'), load_annotations, dict(type='deepunetto_mm.PackRegionInputs')]
_dataset = dict(
    type='deepunetto_mm.CoarseFineDataset',
    data_root=data_root,
    metainfo=dict(taxonomy=taxonomy, palette=palette),
    fine_label_file=None,  # the masks have them
)
train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
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
val_evaluator = [dict(type='IoUMetric', iou_metrics=['mIoU']), dict(type='deepunetto_mm.FineGrainedMetric')]
test_evaluator = val_evaluator
