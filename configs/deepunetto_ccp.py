# Street fashion: background, skin, hair and nine kinds of garments by the U-Net; which of 47 garments in two ways. A map of
# names, which the encoder paints, knows what else the person wears; an EfficientNet looks at a crop of each region by itself.
# A region's scores are the product of both, and may put it into another kind than the segmentation did: touching regions that
# names put into one kind become one.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/ccp.py',
    './_base_/schedules/epochs20.py',
]
model = dict(
    data_preprocessor=dict(size=(416, 288), size_divisor=None),
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(
        num_classes=12,
        loss_decode=[
            # Share of the pixels to the power of -1/4, with a mean weight of 1 over all pixels.
            dict(
                type='CrossEntropyLoss',
                class_weight=[0.77, 1.75, 2.15, 1.53, 1.73, 1.75, 1.54, 3.12, 2.22, 2.15, 4.49, 2.65],
            ),
            dict(type='deepunetto_mm.ClassDiceLoss', stride=2),
        ],
    ),
    # Strides 8, 16 and 32.
    dense_heads=dict(names=dict(type='deepunetto_mm.FineMapHead', in_channels=[40, 112, 320], in_index=(2, 3, 4))),
    region_names='names.logits',
    # The halves of an open coat hang together at the collar, and two shoes touch. Needs scikit-image: the extra `split`.
    region_proposer=dict(
        min_area={{_base_.min_area}}, splitter=dict(type='deepunetto_mm.DistanceWatershed', neck_ratio=0.5)
    ),
    # Context says whether a piece of cloth is a scarf or a top.
    crop_neck=dict(output_size=96, in_index=(), guidance='none', margin=0.25),
    fine_backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(4,),
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    # Trained on few pictures, crops are too confident: their scores enter the product with the power 1/2.
    fine_head=dict(in_channels=320, dropout_ratio=0.2, loss_scope='flat', condition='flat', temperature=2.0),
    train_cfg=dict(box_jitter=0.15, max_regions=24),
    test_cfg=dict(join=True),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(fine_backbone=dict(lr_mult=0.2))))
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
