# COCO 2017: the twelve supercategories by the U-Net, which of 80 categories by their regions. Objects of one supercategory
# that touch are one region. For 1 GPU with 8 pictures a step. It has not been trained to its end.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet34.py',
    './_base_/datasets/coco.py',
    './_base_/schedules/iters80k.py',
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    taxonomy={{_base_.taxonomy}},
    decode_head=dict(num_classes=13),
    auxiliary_head=dict(num_classes=13),
)
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=8000))
