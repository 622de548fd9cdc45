# Scope, hooks, logging. Types of mmseg need no prefix, ours are written deepunetto_mm.X.
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='deepunetto_mm.RegionVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
# Runs with the same seed are equal, including resumed ones (docs/reliability.md).
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),  # validation by iteration, as the losses
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=dict(type='deepunetto_mm.AtomicCheckpointHook', by_epoch=True, interval=5, max_keep_ckpts=2),
    visualization=dict(type='deepunetto_mm.RegionVisualizationHook'),
    # Not in custom_hooks: a config with its own custom_hooks would lose them.
    taxonomy=dict(type='deepunetto_mm.TaxonomyHook'),  # dataset and model must have the same taxonomy
    reproducible=dict(type='deepunetto_mm.ReproducibleHook'),
    non_finite=dict(type='deepunetto_mm.NonFiniteHook'),
    loss_explosion=dict(type='deepunetto_mm.LossExplosionHook'),
    class_presence=dict(type='deepunetto_mm.ClassPresenceHook'),
    class_figures=dict(type='deepunetto_mm.ClassFiguresHook'),
)
