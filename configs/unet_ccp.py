# The plain alternative to deepunetto_ccp.py: the same encoder, decoder and budget, all 47 garments segmented directly.
# Its regions, for the same metric, are the components of each garment.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/ccp.py',
    './_base_/schedules/epochs20.py',
]
model = dict(
    data_preprocessor=dict(size=(416, 288), size_divisor=None),
    taxonomy={{_base_.taxonomy_of_names}},
    # Share of the pixels to the power of -1/4, with a mean weight of 1 over all pixels. Stronger weights, such as those of
    # ENet in deepunetto_camvid.py, find fewer garments (docs/results.md).
    decode_head=dict(
        num_classes=50,
        loss_decode=[
            dict(
                type='CrossEntropyLoss',
                class_weight=[
                    *[0.685, 1.55, 1.92],
                    *[1.62, 2.53, 2.26, 2.15, 2.76, 3.77, 2.86],
                    *[2.08, 2.26, 2.42, 2.40, 3.36, 3.05, 3.91, 3.75],
                    *[1.60, 2.70],
                    *[1.62, 1.97, 2.11, 3.06, 3.19],
                    *[2.90, 5.14, 5.17],
                    *[2.11, 3.92, 3.42, 5.21, 6.41, 6.13, 5.60, 7.08],
                    *[2.12, 2.52, 5.92],
                    *[4.06, 7.71],
                    *[3.89, 2.90, 6.58, 6.41, 8.17, 6.29, 6.08, 3.66, 3.61],
                ],
            ),
            dict(type='deepunetto_mm.ClassDiceLoss', stride=2),
        ],
    ),
    region_proposer=dict(min_area={{_base_.min_area}}, by_class=True),
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
_metainfo = dict(metainfo=dict(taxonomy={{_base_.taxonomy_of_names}}))
train_dataloader = dict(dataset=_metainfo)
val_dataloader = dict(dataset=_metainfo)
test_dataloader = dict(dataset=_metainfo)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
