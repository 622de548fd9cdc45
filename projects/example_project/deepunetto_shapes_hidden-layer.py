_base_ = '../../configs/deepunetto_shapes.py'
# The one thing that a class of one's own needs and the package's do not: the module to import, which registers it.
custom_imports = dict(imports=['hidden_layer_head'])
model = dict(fine_head=dict(type='deepunetto_mm.HiddenLayerHead', hidden_channels=64))
