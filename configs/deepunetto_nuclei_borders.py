# The plain alternative to deepunetto_nuclei.py, the U-Net paper's own: the network paints the borders between touching nuclei,
# and regions are cut along them.
_base_ = './deepunetto_nuclei.py'
model = dict(
    dense_heads=dict(_delete_=True, borders=dict(type='deepunetto_mm.BorderHead', in_channels=32)),
    region_proposer=dict(_delete_=True, type='deepunetto_mm.BorderWatershed', min_area=30, min_seed=12, threshold=0.4),
)
