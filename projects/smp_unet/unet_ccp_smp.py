# All 47 garments by smp.Unet, for comparisons: encoder, data, losses and budget are those of unet_ccp.py.
_base_ = '../../configs/unet_ccp.py'
custom_imports = dict(imports=['smp_unet_decoder'])
model = dict(
    # Its decoder doubles the size of each map, or less where a picture is no multiple of 32.
    decode_head=dict(
        _delete_=True,
        type='deepunetto_mm.SmpUNetDecoder',
        in_channels=[16, 24, 40, 112, 320],
        num_classes=50,
        dropout_ratio=0.1,
        loss_decode={{_base_.model.decode_head.loss_decode}},
    ),
)
