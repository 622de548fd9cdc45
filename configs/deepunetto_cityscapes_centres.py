# deepunetto_cityscapes.py, and the network separates touching people and vehicles itself: it learns the centres of the
# instances. A config of its own: the plain one has variants whose decoders have no features for it, and is the comparison.
_base_ = ['./deepunetto_cityscapes.py']
model = dict(
    # At stride 4 and with the weights of Panoptic-DeepLab, which are for these pictures.
    dense_heads=dict(
        centres=dict(type='deepunetto_mm.CentreOffsetHead', in_channels=64, stride=1, norm_cfg=dict(type='SyncBN'))
    ),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.CentreOffsetProposer', min_area=100, max_regions=200),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    {{_base_.load_annotations}},
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(512, 1024), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.AddCentreTargets', min_area=100),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=100),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
