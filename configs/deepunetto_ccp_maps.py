# deepunetto_ccp.py without borders and crops: connected components of each kind, which the map alone names; without
# scikit-image. A network of deepunetto_ccp.py can be tested with it, too.
_base_ = './deepunetto_ccp.py'
model = dict(
    dense_heads=dict(_delete_=True, names={{_base_.model.dense_heads.names}}),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.ConnectedComponentsProposer', min_area={{_base_.min_area}}),
    crop_neck=None,
    fine_backbone=None,
    fine_head=None,
)
