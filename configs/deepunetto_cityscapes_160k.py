# deepunetto_cityscapes.py for 160,000 iterations instead of 80,000.
_base_ = ['./deepunetto_cityscapes.py']
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=160000, by_epoch=False)]
train_cfg = dict(max_iters=160000, val_interval=16000)
