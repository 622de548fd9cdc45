# Generated data, a few minutes on a CPU: which shape by luminance, which hue by colour.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet18-cifar.py',
    './_base_/datasets/shapes.py',
    './_base_/schedules/epochs4.py',
]
# Half the width of the base model, for speed.
model = dict(
    taxonomy={{_base_.taxonomy}},
    backbone=dict(backbone=dict(stem_channels=16, base_channels=16, zero_init_residual=False)),
    decode_head=dict(
        num_classes=4,
        in_channels=[16, 32, 64, 128],
        channels=(64, 32, 16, 16),
        # mmseg's 0.01 leaves the classes of so few channels alike for hundreds of steps: foreground without shape.
        init_cfg=dict(type='Normal', std=0.3, override=dict(name='conv_seg')),
        # Most pixels are clutter.
        loss_decode=[dict(type='CrossEntropyLoss', class_weight=[0.7, 1.5, 1.5, 1.5]), dict(type='DiceLoss')],
    ),
    region_proposer=dict(min_area=20),
    crop_neck=dict(output_size=32),
    fine_backbone=dict(stem_channels=16, base_channels=16),
    fine_head=dict(in_channels=128),
)
default_hooks = dict(checkpoint=dict(interval=1))
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
