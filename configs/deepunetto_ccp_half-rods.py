# The segmentation looks at the picture at half its height and width, a quarter of the operations; crops do not.
_base_ = './deepunetto_ccp.py'
model = dict(
    backbone=dict(_delete_=True, type='deepunetto_mm.ReducedBackbone', scale=0.5, backbone={{_base_.model.backbone}})
)
