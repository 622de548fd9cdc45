# The plain alternative to deepunetto_camvid.py: the same encoder, decoder and budget, all 11 classes segmented directly.
# Its regions, for the same metric, are the components of each class that is an object.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/epochs12.py',
]
model = dict(
    taxonomy={{_base_.taxonomy_of_names}},
    # The weights of deepunetto_camvid.py.
    decode_head=dict(
        num_classes=11,
        loss_decode=dict(class_weight=[0.578, 0.440, 0.344, 1.56, 0.919, 1.33, 3.86, 4.39, 3.44, 3.26, 3.18]),
    ),
    region_proposer=dict(by_class=True),  # otherwise touching people and cars would be one region
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
_metainfo = dict(metainfo=dict(taxonomy={{_base_.taxonomy_of_names}}, palette={{_base_.palette_of_names}}))
train_dataloader = dict(dataset=_metainfo)
val_dataloader = dict(dataset=_metainfo)
test_dataloader = dict(dataset=_metainfo)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
