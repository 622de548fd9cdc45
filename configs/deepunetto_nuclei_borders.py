# Nuclei, separated along the borders that the network paints between touching ones: the U-Net paper's own answer.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_efficientnet-lite0.py',
    './_base_/datasets/nuclei.py',
    './_base_/schedules/iters500.py',
]
model = dict(
    taxonomy={{_base_.taxonomy}},
    data_preprocessor=dict(size_divisor=32),
    decode_head=dict(num_classes=2),
    dense_heads=dict(borders=dict(type='deepunetto_mm.BorderHead', in_channels=32)),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.BorderWatershed', min_area=15, min_seed=4),
    # One name: there is nothing to look at twice.
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=250), channels_last=dict(type='deepunetto_mm.ChannelsLastHook')
)
