# Groceries from threshold masks: the group by segmentation, the product by the features in its region. One encoder
# runs once per picture, like that of classifier_grocery.py. An epoch takes 7 minutes of one core: 165 steps of 2.5 s.
# See docs/grocery.md for the masks.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/grocery.py',
    './_base_/schedules/epochs12.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(
        num_classes=44,
        channels=(96, 48, 32),
        out_stride=4,
        # Sometimes the threshold misses parts of the product: the background weighs less.
        loss_decode=dict(class_weight=[0.5] + [1.0] * 43),
    ),
    region_proposer=dict(min_area=64, max_regions=16),
    # The encoder's maps of strides 16 and 32 are the fine branch's features: 112 + 320.
    crop_neck=dict(output_size=7, picture=False, in_index=(3, 4), keep_aspect=False, margin=0.0),
    fine_backbone=None,
    # All products compete in training, because most groups have only one; the score is P(group) P(product | group).
    fine_head=dict(in_channels=432, loss_scope='flat', condition='soft'),
)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
