# The plain alternative to deepunetto_camvid.py: the same encoder, decoder and budget, all 11 classes segmented directly.
# Its regions, for the same metric, are the components of each class that is an object.
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
    dense_heads=None,
    region_names='logits',
    region_proposer=dict(by_name=None, by_class=True),  # otherwise touching people and cars would be one region
)
_metainfo = dict(metainfo=dict(taxonomy=taxonomy, palette=palette))
train_dataloader = dict(dataset=_metainfo)
val_dataloader = dict(dataset=_metainfo)
test_dataloader = dict(dataset=_metainfo)
