# Without weights from elsewhere: cones narrow, since 184 cells are few, and at full resolution, since granules are fine.
_base_ = ['./deepunetto_wbc.py']
model = dict(
    crop_neck=dict(output_size=56),
    fine_backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=3,
        stem_channels=16,
        base_channels=16,
        strides=(1, 2, 2, 2),
        out_indices=(3,),
        style='pytorch',
        norm_cfg=dict(type='GN', num_groups=8),
    ),
    fine_head=dict(in_channels=128),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer={{_base_.optim_wrapper.optimizer}},
    clip_grad={{_base_.optim_wrapper.clip_grad}},
)
