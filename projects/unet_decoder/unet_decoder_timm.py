# Over a model of timm with features_only, here RegNetY-200MF; any other works in the same way.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(_delete_=True, type='mmpretrain.TIMMBackbone', model_name='regnety_002', features_only=True),
    # Both are known to timm: timm.create_model('regnety_002', features_only=True).feature_info.channels() and .reduction()
    decode_head=dict(
        in_channels=[32, 24, 56, 152, 368], strides=(2, 4, 8, 16, 32), channels=(128, 64, 48, 32), out_stride=2
    ),
    auxiliary_head=dict(in_channels=152, in_index=3),
)
