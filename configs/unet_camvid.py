# The plain alternative to deepunetto_camvid.py: the same encoder, decoder and budget, all 11 classes segmented directly.
# Its regions, for the same metric, are the components of each class that is an object.
_base_ = ['./deepunetto_camvid_11cls.py']
model = dict(crop_neck=None, fine_backbone=None, fine_head=None, test_cfg=dict(vote=False))
