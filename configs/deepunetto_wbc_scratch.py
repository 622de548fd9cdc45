# White blood cells without pretrained weights: background, cytoplasm and nucleus by luminance, then which of five cells by
# colour.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet18-cifar.py',
    './_base_/datasets/wbc.py',
    './_base_/schedules/epochs60.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(num_classes=3),
    region_proposer=dict(min_area=200),  # the smallest annotated cell has over 1000 pixels
    # A window of one size for all cells: a lymphocyte differs from a monocyte by its size.
    crop_neck=dict(output_size=56, window=112, guidance='soft'),
    # Narrow, at full resolution: granules are fine texture, and there are only 184 cells.
    fine_backbone=dict(stem_channels=16, base_channels=16, strides=(1, 2, 2, 2)),
    fine_head=dict(in_channels=128),
)
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
