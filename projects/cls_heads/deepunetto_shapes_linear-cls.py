# mmpretrain's LinearClsHead as fine head, with its label smoothing.
_base_ = '../../configs/deepunetto_shapes.py'
model = dict(
    fine_head=dict(
        _delete_=True,
        type='deepunetto_mm.FineClsHead',
        head=dict(type='LinearClsHead', in_channels=128, loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)),
        condition='hard',
    ),
)
