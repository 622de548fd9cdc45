# A small DeepUNetto for pictures of 64 to 256 pixels, trained from scratch.
#
# Both encoders are mmpretrain's ResNet-18 with the stem made for small pictures (3x3, no pooling), half as wide; the
# first stage halves the size, so features have the strides 2, 4, 8, 16. The experiment sets taxonomy and num_classes.
_norm = dict(mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75])  # of R, G, B

model = dict(
    type='deepunetto_mm.DeepUNetto',
    data_preprocessor=dict(type='SegDataPreProcessor', **_norm, bgr_to_rgb=True, pad_val=0, size=(128, 128)),
    # Rods: brightness alone.
    backbone=dict(
        type='deepunetto_mm.LuminanceBackbone',
        **_norm,
        signal='bt709',
        backbone=dict(
            type='mmpretrain.ResNet_CIFAR',
            depth=18,
            in_channels=1,
            stem_channels=32,
            base_channels=32,
            strides=(2, 2, 2, 2),
            out_indices=(0, 1, 2, 3),
            style='pytorch',
        ),
    ),
    decode_head=dict(
        type='deepunetto_mm.UNetDecoder',
        in_channels=[32, 64, 128, 256],
        strides=(2, 4, 8, 16),
        channels=(128, 64, 32, 16),
        out_stride=1,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        loss_decode=[dict(type='CrossEntropyLoss'), dict(type='DiceLoss')],
    ),
    region_proposer=dict(type='deepunetto_mm.ConnectedComponentsProposer', min_area=32, max_regions=100),
    crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=48, margin=0.1),
    # Cones: colour. GroupNorm, since the number of crops differs from step to step and may be 0 or 1.
    fine_backbone=dict(
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=3,
        stem_channels=32,
        base_channels=32,
        strides=(2, 2, 2, 2),
        out_indices=(3,),
        style='pytorch',
        norm_cfg=dict(type='GN', num_groups=8),
    ),
    fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=256),
    train_cfg=dict(regions='gt', box_jitter=0.05, max_regions=64),
    test_cfg=dict(mode='whole'),
)
