# CamVid, the refinement instead of the split: the U-Net segments all 11 classes, regions are components of each class
# that is an object, and in the composed map each pixel's class and its region's name vote.
_base_ = ['./deepunetto_camvid.py']
taxonomy = dict(
    _delete_=True,
    classes=[
        'sky',
        'building',
        'road',
        'pavement',
        'tree',
        'car',
        'pedestrian',
        'bicyclist',
        'pole',
        'sign',
        'fence',
    ],
    groups=[
        dict(
            name='road user',
            members=['car', 'pedestrian', 'bicyclist'],
            fine_classes=['car', 'pedestrian', 'bicyclist'],
        ),
        dict(name='street furniture', members=['pole', 'sign', 'fence'], fine_classes=['pole', 'sign', 'fence']),
    ],
)
palette = [
    [128, 128, 128],
    [128, 0, 0],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
    [192, 192, 128],
    [192, 128, 128],
    [64, 64, 128],
]
model = dict(
    taxonomy=taxonomy,
    decode_head=dict(
        num_classes=11,
        loss_decode=dict(class_weight=[0.578, 0.440, 0.344, 1.56, 0.919, 1.33, 3.86, 4.39, 3.44, 3.26, 3.18]),
    ),
    region_proposer=dict(by_class=True),  # otherwise touching people and cars would be one region with one name
    test_cfg=dict(vote=True),
)
_metainfo = dict(metainfo=dict(taxonomy=taxonomy, palette=palette))
train_dataloader = dict(dataset=_metainfo)
val_dataloader = dict(dataset=_metainfo)
test_dataloader = dict(dataset=_metainfo)
