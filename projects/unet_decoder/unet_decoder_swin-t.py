# Over Swin-T.
_base_ = './unet_decoder.py'
model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
