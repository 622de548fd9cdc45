# deepunetto_cityscapes.py in mixed precision with bfloat16 (Ampere and newer): no loss scaling.
_base_ = ['./deepunetto_cityscapes.py']
optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=1.0)
