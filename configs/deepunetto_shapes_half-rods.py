# Rods look at half the height and width of the scene, cones at crops of the whole one.
_base_ = './deepunetto_shapes.py'
model = dict(
    backbone=dict(_delete_=True, type='deepunetto_mm.ReducedBackbone', scale=0.5, backbone={{_base_.model.backbone}})
)
