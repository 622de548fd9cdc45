# mmpretrain's ArcFaceClsHead as fine head: classes that look alike are held apart by a margin between their angles.
_base_ = '../../configs/deepunetto_shapes.py'
model = dict(
    fine_head=dict(
        _delete_=True,
        type='deepunetto_mm.FineClsHead',
        head=dict(type='ArcFaceClsHead', in_channels=128, scale=16.0, margins=0.2),
        condition='hard',
    ),
)
