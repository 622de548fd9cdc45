# Cityscapes, the refinement instead of the split: the U-Net segments all 19 classes, regions are components of a
# category, and in the composed map each pixel's class and its region's name vote.
_base_ = ['./deepunetto_cityscapes.py']
taxonomy = dict(
    _delete_=True,
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
        'person',
        'rider',
        'car',
        'truck',
        'bus',
        'train',
        'motorcycle',
        'bicycle',
    ],
    groups=[
        dict(name='human', members=['person', 'rider'], fine_classes=['person', 'rider']),
        dict(
            name='vehicle',
            members=['car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'],
            fine_classes=['car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'],
        ),
    ],
)
model = dict(
    taxonomy=taxonomy,
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
    test_cfg=dict(vote=True),
)
train_dataloader = dict(dataset=dict(metainfo=dict(taxonomy=taxonomy)))
val_dataloader = dict(dataset=dict(metainfo=dict(taxonomy=taxonomy)))
test_dataloader = dict(dataset=dict(metainfo=dict(taxonomy=taxonomy)))
