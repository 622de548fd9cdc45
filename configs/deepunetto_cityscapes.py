# Cityscapes: eleven stuff classes, human and vehicle by the U-Net; which of eight specific classes by their regions;
# composed to the 19 official ones. For 4 GPUs with 2 pictures each: tools/dist_train.sh CONFIG 4.
_base_ = [
    './_base_/default_runtime.py',
    './_base_/models/deepunetto_resnet34.py',
    './_base_/datasets/cityscapes.py',
    './_base_/schedules/iters80k.py',
]
model = dict(taxonomy={{_base_.taxonomy}}, decode_head=dict(num_classes=13), auxiliary_head=dict(num_classes=13))
tta_model = dict(type='deepunetto_mm.DeepUNettoTTA')
log_processor = dict(by_epoch=False)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=8000))
