# Cityscapes: eleven stuff classes, human and vehicle by the U-Net; which of eight specific classes by their regions;
# composed to the 19 official ones. For 4 GPUs with 2 pictures each: tools/dist_train.sh CONFIG 4.
#
# Why ResNet-34: a picture of 512x1024 pixels takes an eighth of the FLOP of mmseg's UNet-S5-D16 + FCN (106 against 810
# GFLOP), a seventh of its memory, and 9.4 times as many pictures a second on a CPU; ResNet-50 and ConvNeXt-T take 1.2 to
# 1.4 times its FLOP and are half to two thirds as fast (docs/results.md). Which one segments best was not measured.
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
