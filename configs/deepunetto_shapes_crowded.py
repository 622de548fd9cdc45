# Many shapes that touch others of their group, separated by their centres, which the network learns.
_base_ = './deepunetto_shapes.py'
model = dict(
    dense_heads=dict(
        # Small objects, and many: with the weights of the paper the heat would outweigh all other losses.
        centres=dict(type='deepunetto_mm.CentreOffsetHead', in_channels=16, heat_weight=20.0, vector_weight=0.1)
    ),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.CentreOffsetProposer', min_area=20, max_regions=100),
)
train_pipeline = [
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='deepunetto_mm.AddCentreTargets', min_area=20),
    dict(type='deepunetto_mm.PackRegionInputs', min_area=20),
]
train_dataloader = dict(dataset=dict(max_shapes=20, crowded=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(max_shapes=20, crowded=True))
test_dataloader = val_dataloader
