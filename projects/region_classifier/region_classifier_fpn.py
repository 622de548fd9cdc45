# The picture is looked at once; regions are cut out of all levels of a feature pyramid, brought to one size.
_base_ = './region_classifier.py'
model = dict(
    crop_neck=dict(output_size=7, picture=False, in_index=(0, 1, 2, 3)),
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(type='mmseg.FPN', in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4),
    head=dict(in_channels=256),  # 4 levels of 64
)
