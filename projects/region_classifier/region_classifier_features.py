# The picture is looked at once; regions are cut out of the backbone's map of stride 8. The head is mmpretrain's.
_base_ = './region_classifier.py'
model = dict(
    crop_neck=dict(output_size=7, picture=False, in_index=(0,)),
    # Of stride 8 and not 32, where most regions would be a pixel: the last stages keep the size, by dilation.
    backbone=dict(out_indices=(3,), strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    head=dict(_delete_=True, type='deepunetto_mm.FineClsHead', head=dict(type='LinearClsHead', in_channels=512)),
)
