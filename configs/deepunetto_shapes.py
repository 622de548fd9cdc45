# Embedded data, a few minutes on a CPU: which shape by luminance, which hue by colour.
_base_ = [
    './_base_/default_runtime.py', './_base_/models/deepunetto_resnet18-cifar.py', './_base_/datasets/shapes.py',
    './_base_/schedules/epochs4.py'
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(num_classes=4),
    region_proposer=dict(min_area=20),
    crop_neck=dict(output_size=32),
)
default_hooks = dict(checkpoint=dict(interval=1))
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
