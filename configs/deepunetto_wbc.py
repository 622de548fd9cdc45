# White blood cells: background, cytoplasm and nucleus by luminance, then which of five cells by colour.
_base_ = [
    './_base_/default_runtime.py', './_base_/models/deepunetto_resnet18-cifar.py', './_base_/datasets/wbc.py',
    './_base_/schedules/epochs60.py'
]
model = dict(taxonomy={{_base_.taxonomy}}, decode_head=dict(num_classes=3))
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
