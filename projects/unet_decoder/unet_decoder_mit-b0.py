# Over SegFormer's encoder, MixVisionTransformer-B0.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(_delete_=True, type='MixVisionTransformer', embed_dims=32, num_heads=(1, 2, 5, 8)),
    decode_head=dict(in_channels=[32, 64, 160, 256]),
    auxiliary_head=dict(in_channels=160),
)
