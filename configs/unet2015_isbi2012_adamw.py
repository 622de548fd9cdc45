# unet2015_isbi2012.py, the same network and augmentation, by AdamW in bfloat16, which gets further in minutes on a GPU
# (docs/results.md). Border weights are computed once for each picture, and moved with it.
_base_ = ['./unet2015_isbi2012.py']
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions', connectivity=4),
    dict(type='deepunetto_mm.AddBorderWeights', w0=10.0, sigma=5.0, cache_dir='work_dirs/border_weights'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0),
    dict(type='deepunetto_mm.MirrorPad', padding=92),
    dict(type='RandomRotate', prob=1.0, degree=25, pad_val=(124, 124, 124), seg_pad_val=255),
    dict(type='deepunetto_mm.ElasticDeformation', sigma=10.0, points=3),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(572, 572)),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(test_cfg=dict(tiles_per_batch=4))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.005, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=6600, T_max=6600, eta_min_ratio=0.01),
]
train_cfg = dict(max_iters=6600, val_interval=1100)
default_hooks = dict(
    checkpoint=dict(interval=6600),
    bfloat16=dict(type='deepunetto_mm.BFloat16Hook'),
    channels_last=dict(type='deepunetto_mm.ChannelsLastHook'),
)
