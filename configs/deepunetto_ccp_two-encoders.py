# The plain alternative to deepunetto_ccp.py: an encoder for the picture and another one for crops, and connected components of
# each kind, cut at their necks; touching ones that names put into one kind become one.
_base_ = './deepunetto_ccp.py'
model = dict(
    dense_heads=dict(_delete_=True, names={{_base_.model.dense_heads.names}}),
    # The halves of an open coat hang together at the collar, and two shoes touch.
    region_proposer=dict(
        _delete_=True,
        type='deepunetto_mm.ConnectedComponentsProposer',
        min_area={{_base_.min_area}},
        splitter=dict(type='deepunetto_mm.DistanceWatershed', neck_ratio=0.5),
    ),
    fine_backbone=dict(
        _delete_=True,
        type='mmpretrain.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        out_indices=(4,),
        init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
    ),
    test_cfg=dict(join=True),
)
