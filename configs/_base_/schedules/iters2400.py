# 2400 iterations: 100 of linear warm-up, then one cosine. Pretrained encoders learn at a third of the rate.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=2400, T_max=2300, eta_min=1e-5),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2400, val_interval=2400)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
