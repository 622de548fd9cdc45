# Street fashion: background, skin, hair and nine kinds of garments by the U-Net, and where one garment ends and the next begins,
# whatever their kinds; which of 47 garments in two ways. A map of names, which the encoder paints, knows what else the person
# wears; and the same encoder looks again, at a crop of each region by itself. A region's scores are the product of both, and
# may put it into another kind than the segmentation did.
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
    dense_heads=dict(
        # Strides 8, 16 and 32.
        names=dict(type='deepunetto_mm.FineMapHead', in_channels=[40, 112, 320], in_index=(2, 3, 4)),
        borders=dict(type='deepunetto_mm.BorderHead', in_channels=32),
    ),
    region_names='names.logits',
    # A garment that is painted as two kinds by halves is one region, and two of one kind that touch are two. Needs
    # scikit-image: the extra `split`.
    region_proposer=dict(
        _delete_=True,
        type='deepunetto_mm.BorderWatershed',
        min_area={{_base_.min_area}},
        threshold=0.3,
        min_seed=10,
        across_groups=True,
    ),
    # Context says whether a piece of cloth is a scarf or a top.
    crop_neck=dict(output_size=96, in_index=(), guidance='none', margin=0.25),
    fine_backbone='shared',
    # Trained on few pictures, crops are too confident: their scores enter the product with the power 1/2.
    fine_head=dict(in_channels=320, dropout_ratio=0.2, loss_scope='flat', condition='flat', temperature=2.0),
    train_cfg=dict(box_jitter=0.15, max_regions=24),
)
# The rate of crops is for their norms and biases; the kernels have that of the encoder.
optim_wrapper = dict(paramwise_cfg=dict(bypass_duplicate=True, custom_keys=dict(fine_backbone=dict(lr_mult=0.2))))
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))
