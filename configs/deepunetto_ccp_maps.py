# deepunetto_ccp.py without crops: the map alone names the regions, for half of the weights, and without scikit-image. Its
# training is the same, since the crops, of the picture alone, send no gradient to the encoder.
_base_ = './deepunetto_ccp.py'
model = dict(
    region_proposer=dict(splitter=None),
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
    test_cfg=dict(join=False),
)
