# Parameters, gradients and the optimizer's state divided among the processes (FSDP), for networks that are too large for
# one GPU; this one is not, it shows how. Start it with tools/dist_train.sh; see docs/distributed.md.
_base_ = ['./deepunetto_shapes.py']
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    # One checkpoint, as any other run writes it, and not a part for each process.
    state_dict_cfg='full',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        # What is gathered before it is used, and let go after.
        auto_wrap_policy=dict(type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy', min_num_params=100000),
    ),
)
# Each process would clip by the norm of its own shards.
optim_wrapper = dict(clip_grad=None)
