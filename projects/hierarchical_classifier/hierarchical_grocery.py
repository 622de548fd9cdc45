# Groceries, named as a whole, in general and in particular; no masks. configs/classifier_grocery.py with another head.
_base_ = '../../configs/classifier_grocery.py'
model = dict(
    head=dict(
        _delete_=True,
        type='deepunetto_mm.HierarchicalClsHead',
        taxonomy={{_base_.taxonomy}},
        in_channels=1280,
        # Of 43 kinds most have one product alone: all products compete, and a product's score is P(kind) P(product | kind).
        fine_head=dict(type='deepunetto_mm.FineGrainedHead', loss_scope='flat', condition='soft'),
    ),
)
