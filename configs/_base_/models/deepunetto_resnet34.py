# DeepUNetto for street scenes: a U-Net decoder over ResNet-34, and ResNet-18 on crops of 64 pixels, both with ImageNet
# weights. The experiment sets taxonomy and num_classes.
_norm = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])  # of R, G, B; those of the weights

model = dict(
    type='deepunetto_mm.DeepUNetto',
    data_preprocessor=dict(type='SegDataPreProcessor', **_norm, bgr_to_rgb=True, pad_val=0, size=(512, 1024)),
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=34,
        out_indices=(0, 1, 2, 3),
        style='pytorch',
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet34'),
    ),
    # Logits at stride 4, where mmseg's heads have them too: two stages more would cost as much as the encoder.
    decode_head=dict(
        type='deepunetto_mm.UNetDecoder',
        in_channels=[64, 128, 256, 512],
        strides=(4, 8, 16, 32),
        channels=(256, 128, 64),
        out_stride=4,
        dropout_ratio=0.1,
        norm_cfg=dict(type='SyncBN'),
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    # A small FCN on the maps of stride 16, as in mmseg's recipes: it trains the encoder, and tests do without it.
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=256,
        in_index=2,
        channels=64,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        norm_cfg=dict(type='SyncBN'),
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
    ),
    region_proposer=dict(type='deepunetto_mm.ConnectedComponentsProposer', min_area=100, max_regions=200),
    crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=64, margin=0.2),
    # BN would take its statistics over a number of crops that differs from step to step, and may be 0 or 1: frozen.
    fine_backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        out_indices=(3,),
        style='pytorch',
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    fine_head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=512),
    train_cfg=dict(regions='mixed', box_jitter=0.05, max_regions=64),
    test_cfg=dict(mode='whole'),
)
