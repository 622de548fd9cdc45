# The segmentation looks at half the height and width of the picture, a quarter of the operations; crops come from the whole one.
_base_ = './deepunetto_ccp.py'
model = dict(
    backbone=dict(_delete_=True, type='deepunetto_mm.ReducedBackbone', scale=0.5, backbone={{_base_.model.backbone}})
)
