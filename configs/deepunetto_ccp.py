# Street fashion: background, skin, hair and nine kinds of garments by the U-Net; which of 47 garments by a map of names that
# the encoder paints beside it. A region of a kind gets the name that its pixels say.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/ccp.py',
    './_base_/schedules/epochs20.py',
]
model = dict(
    data_preprocessor=dict(size=(416, 288), size_divisor=None),
    taxonomy={{_base_.taxonomy}},
    # Share of the pixels to the power of -1/4, with a mean weight of 1 over all pixels.
    decode_head=dict(
        num_classes=12,
        loss_decode=dict(class_weight=[0.77, 1.75, 2.15, 1.53, 1.73, 1.75, 1.54, 3.12, 2.22, 2.15, 4.49, 2.65]),
    ),
    # Strides 8, 16 and 32.
    dense_heads=dict(names=dict(type='deepunetto_mm.FineMapHead', in_channels=[40, 112, 320], in_index=(2, 3, 4))),
    region_names='names.logits',
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
