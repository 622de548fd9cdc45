# Parameters, gradients and the optimizer's state distributed over the processes (FSDP), for networks that are too large for
# one GPU; this one is not, it is an example. Start it with tools/dist_train.sh; see docs/distributed.md.
_base_ = ['./deepunetto_shapes.py']
runner_type = 'FlexibleRunner'
strategy = dict(
    type='FSDPStrategy',
    # One checkpoint, as in any other run, and not a part for each process.
    state_dict_cfg='full',
    model_wrapper=dict(
        type='MMFullyShardedDataParallel',
        # Modules whose parameters are gathered before use and released afterwards.
        auto_wrap_policy=dict(type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy', min_num_params=100000),
    ),
)
# Each process would clip by the norm of its own shards.
optim_wrapper = dict(clip_grad=None)
