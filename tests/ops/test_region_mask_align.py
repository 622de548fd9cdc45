import pytest
import torch
from torchvision.ops import roi_align

from deepunetto_mm.ops import region_mask_align

ROIS = torch.tensor(
    [[0, 1.3, 0.2, 6.9, 7.4], [1, -2.5, -3.0, 4.0, 5.0], [1, 3.0, 2.0, 12.0, 11.0], [0, 2.0, 2.0, 3.0, 3.0]]
)
IDS = torch.tensor([1, 2, 1, 2])
LABELS = torch.tensor([0, 1, 1, 0])


def _maps() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randint(0, 3, (2, 9, 10), generator=generator),
        torch.rand(2, 2, 9, 10, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize('sampling_ratio', [1, 2, 3])
def test_equals_roi_align_of_each_regions_product(sampling_ratio):
    region_maps, probs = _maps()
    crops = region_mask_align(region_maps, ROIS, IDS, (4, 5), probs, LABELS, sampling_ratio)
    for r, (roi, region, label) in enumerate(zip(ROIS, IDS, LABELS)):
        product = (region_maps == region) * probs[:, label]
        expected = roi_align(product[:, None].float(), roi[None], (4, 5), sampling_ratio=sampling_ratio, aligned=True)
        torch.testing.assert_close(crops[r : r + 1].float(), expected)


def test_membership_alone():
    region_maps, probs = _maps()
    crops = region_mask_align(region_maps, ROIS, IDS, (4, 5))
    expected = region_mask_align(region_maps, ROIS, IDS, (4, 5), torch.ones_like(probs), LABELS)
    torch.testing.assert_close(crops, expected.float())


def test_gradient_reaches_the_probabilities():
    region_maps, probs = _maps()
    assert torch.autograd.gradcheck(
        lambda p: region_mask_align(region_maps, ROIS.double(), IDS, (3, 3), p, LABELS), probs.requires_grad_()
    )


def test_no_region():
    region_maps, probs = _maps()
    crops = region_mask_align(region_maps, ROIS[:0], IDS[:0], (4, 5), probs, LABELS[:0])
    assert crops.shape == (0, 1, 4, 5)
