# Many shapes that touch others of their group: regions are cut where they are narrow. There is nothing to train;
# test a checkpoint of deepunetto_shapes.py, and compare with
# --cfg-options model.region_proposer.splitter=None
_base_ = './deepunetto_shapes.py'
# The ratio was chosen on scenes of another seed.
model = dict(region_proposer=dict(splitter=dict(type='deepunetto_mm.DistanceWatershed', neck_ratio=0.8)))
val_dataloader = dict(dataset=dict(max_shapes=20, crowded=True))
test_dataloader = val_dataloader
