# CamVid: five stuff classes, road users and street furniture by the U-Net; which of six by their regions.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/camvid.py',
    './_base_/schedules/epochs16.py',
]
model = dict(taxonomy={{_base_.taxonomy}}, decode_head=dict(num_classes=7))
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
