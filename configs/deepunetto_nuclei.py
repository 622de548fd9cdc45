# Nuclei, separated by their centres: beside the classes, the network paints where centres are, and from each pixel the way to
# the centre of its nucleus. deepunetto_nuclei_borders.py is the alternative of the U-Net paper (docs/results.md).
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/nuclei.py',
    './_base_/schedules/iters2400.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=dict(size_divisor=32),
    decode_head=dict(num_classes=2),
    # The weights of crowded shapes: with those of the paper the heat would outweigh all other losses.
    dense_heads=dict(
        centres=dict(type='deepunetto_mm.CentreOffsetHead', in_channels=32, heat_weight=20.0, vector_weight=0.1)
    ),
    # Threshold and window: docs/results.md.
    region_proposer=dict(
        _delete_=True, type='deepunetto_mm.CentreOffsetProposer', min_area=30, threshold=0.3, window=3
    ),
    # One name: there is nothing to look at twice.
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=200), channels_last=dict(type='deepunetto_mm.ChannelsLastHook')
)
