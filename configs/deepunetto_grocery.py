# Groceries from threshold masks: where the product is by segmentation, which it is by the encoder's last map in its
# region. One encoder runs once per picture, that of classifier_grocery.py. An epoch takes 7 minutes of one core: 165
# steps of 2.5 s. See docs/grocery.md for the masks.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/grocery.py',
    './_base_/schedules/epochs12.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    backbone=dict(
        _delete_=True,
        type='deepunetto_mm.TIMMStages',
        model_name='tf_efficientnet_lite0',
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    decode_head=dict(
        num_classes=44,
        in_index=(0, 1, 2, 3, 4),
        channels=(96, 48, 32),
        out_stride=4,
        # Sometimes the threshold misses parts of the product: the background weighs less.
        loss_decode=dict(class_weight=[0.5] + [1.0] * 43),
    ),
    region_proposer=dict(min_area=64, max_regions=16),
    # The last map, of stride 32, is what the encoder's own classifier reads.
    crop_neck=dict(output_size=7, picture=False, in_index=(5,), keep_aspect=False, margin=0.0),
    fine_backbone=None,
    # All products compete, and the group follows from the product: the segmentation often finds another group.
    fine_head=dict(in_channels=1280, loss_scope='flat', condition='flat'),
)
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
