import inspect

from deepunetto_mm.models import MaskGuidedRoICrop
from deepunetto_mm.models.fine import CropNeck


def test_the_packages_own_neck_keeps_the_contract():
    neck = MaskGuidedRoICrop(guidance='none')
    assert (neck.needs_group_probs, neck.in_index) == (False, ())
    for asked, has in ((CropNeck.__call__, neck.forward), (CropNeck.boxes, neck.boxes)):
        parameters = list(inspect.signature(asked).parameters.values())[1:]  # without self
        assert parameters == list(inspect.signature(has).parameters.values())
