# Clothing Co-Parsing (Yang, Luo and Lin, CVPR 2014): street photographs at half size, about 275x415 pixels, 704 to train on
# and 100 to validate. Layout of data_root: images/{train,val}/*.jpg, masks/{train,val}/*.png with the values of `labels`,
# 255 to ignore.
data_root = 'data/ccp'
_kinds = {
    'outerwear': ['coat', 'jacket', 'blazer', 'suit', 'cape', 'cardigan', 'vest'],
    'top': ['blouse', 'shirt', 't-shirt', 'sweater', 'sweatshirt', 'top', 'jumper', 'bodysuit'],
    'onepiece': ['dress', 'romper'],
    'bottom': ['pants', 'jeans', 'skirt', 'shorts', 'leggings'],
    'legwear': ['stockings', 'socks', 'tights'],
    'footwear': ['shoes', 'sandals', 'boots', 'loafers', 'heels', 'pumps', 'sneakers', 'flats'],
    'bag': ['bag', 'purse', 'wallet'],
    'eyewear': ['sunglasses', 'glasses'],
    'accessory': ['belt', 'scarf', 'necklace', 'bracelet', 'watch', 'tie', 'gloves', 'hat', 'accessories'],
}
_stuff = ['background', 'skin', 'hair']
labels = [*_stuff, *(name for names in _kinds.values() for name in names)]
# The taxonomy decides which of them the segmentation distinguishes: the nine groups,
taxonomy = dict(
    classes=[*_stuff, *_kinds],
    groups=[dict(name=kind, members=[kind], fine_classes=names) for kind, names in _kinds.items()],
)
# or all 47 garments.
taxonomy_of_names = dict(
    classes=labels,
    groups=[dict(name=kind, members=names, fine_classes=names) for kind, names in _kinds.items()],
)
# 95 % of the annotated regions of each kind have more pixels, by 633 of the training pictures: smaller regions are mostly
# pieces of another garment (docs/results.md).
min_area = [164, 64, 68, 164, 80, 73, 77, 60, 45]
_annotations = dict(type='deepunetto_mm.LoadComposedAnnotations', labels=labels, min_area=20)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    _annotations,
    dict(type='RandomResize', scale=(436, 275), ratio_range=(0.75, 1.33), keep_ratio=True),
    # Almost the whole picture: what else a person wears is evidence too. Smaller ones are padded by the model.
    dict(type='deepunetto_mm.RandomCrop', crop_size=(416, 288)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # At their own size. Without learned borders 1.1 finds more (docs/results.md).
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    _annotations,  # at the size of the picture, which predictions have
    dict(type='deepunetto_mm.PackRegionInputs'),
]
_dataset = dict(
    type='deepunetto_mm.CoarseFineDataset',
    data_root=data_root,
    metainfo=dict(taxonomy=taxonomy),
    fine_label_file=None,  # the masks have them
)
train_dataloader = dict(
    # Twice the steps of 8 in an epoch: after 5 epochs 30 of 100 objects are found, and of 8 pictures a step 16
    # (docs/results.md).
    batch_size=4,
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
