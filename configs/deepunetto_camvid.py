# CamVid: five stuff classes, road users and street furniture by the U-Net; which of six by their regions.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/epochs12.py',
]
# 0.1 / ln(1.02 + share of the pixels), the weighting of ENet (Paszke et al., 2016): without it rare classes vanish.
# Dice loss does not help: a crop without a class rewards its absence, and most crops have no pedestrian.
model = dict(
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(num_classes=7, loss_decode=dict(class_weight=[0.578, 0.440, 0.344, 1.56, 0.919, 1.20, 1.95])),
)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
