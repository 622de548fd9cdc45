# deepunetto_cityscapes.py in mixed precision with float16.
_base_ = ['./deepunetto_cityscapes.py']
optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
