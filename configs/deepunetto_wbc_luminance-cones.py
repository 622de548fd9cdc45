# Ablation: cones that see luminance alone. Three equal channels, so that the fine backbone stays the same.
_base_ = ['./deepunetto_wbc_one-laboratory.py']
model = dict(
    fine_backbone=dict(
        _delete_=True,
        type='deepunetto_mm.LuminanceBackbone',
        mean={{_base_.model.data_preprocessor.mean}},
        std={{_base_.model.data_preprocessor.std}},
        channels=3,
        backbone={{_base_.model.fine_backbone}},
    )
)
