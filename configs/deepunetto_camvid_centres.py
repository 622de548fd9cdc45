# deepunetto_camvid.py, and the network separates touching objects by their centres. CamVid has no instances: what is learnt are
# the centres of the components of each specific class.
_base_ = ['./deepunetto_camvid.py']
model = dict(
    # Small objects, and many: with the weights of the paper the heat would outweigh all other losses.
    dense_heads=dict(
        centres=dict(type='deepunetto_mm.CentreOffsetHead', in_channels=32, heat_weight=20.0, vector_weight=0.1)
    ),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.CentreOffsetProposer', min_area=20),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    {{_base_.load_annotations}},
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.6, 1.4), keep_ratio=True),
    dict(type='deepunetto_mm.RandomCrop', crop_size=(224, 224), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='deepunetto_mm.PhotoMetricDistortion'),
    dict(type='deepunetto_mm.AddCentreTargets', min_area=20),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
