# CamVid: five stuff classes, road users and street furniture by the U-Net; which of six by a map of names, which the encoder
# paints. Regions end where the name does: a pedestrian before a car is an object of its own.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/epochs12.py',
]
# Weights: 0.1 / ln(1.02 + share of the pixels), those of ENet (Paszke et al., 2016): without them rare classes vanish.
# Dice loss does not help: a crop without a class rewards its absence, and most crops have no pedestrian.
model = dict(
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(num_classes=7, loss_decode=dict(class_weight=[0.578, 0.440, 0.344, 1.56, 0.919, 1.20, 1.95])),
    # Strides 4, 8, 16 and 32.
    dense_heads=dict(
        names=dict(
            type='deepunetto_mm.FineMapHead',
            in_channels=[24, 40, 112, 320],
            in_index=(1, 2, 3, 4),
            channels=128,
            dropout_ratio=0.1,
            class_weight=[1.33, 3.86, 4.39, 3.44, 3.26, 3.18],
        )
    ),
    region_names='names.logits',
    region_proposer=dict(by_name='names.logits'),
    # Crops of objects this small say less than the map (docs/results.md).
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
