_base_ = '../../configs/deepunetto_shapes.py'
custom_imports = dict(imports=['own_parts'])
model = dict(
    region_proposer=dict(_delete_=True, type='deepunetto_mm.ClosedGapsProposer', gap=2, min_area=20),
    crop_neck=dict(_delete_=True, type='deepunetto_mm.DimmedSurroundings', output_size=32, dimming=0.3),
    fine_backbone=dict(_delete_=True, type='deepunetto_mm.PatchCones', channels=64),
    fine_head=dict(in_channels=64),
)
