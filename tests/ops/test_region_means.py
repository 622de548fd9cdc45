import torch

from deepunetto_mm.ops import region_means


def test_means_of_two_maps_over_two_regions():
    region_map = torch.tensor([[3, 3, 0], [7, 9, 3]])
    values = torch.tensor([[[1.0, 2, 50], [4, 60, 6]], [[0.0, 0, 0], [1, 0, 3]]])
    means = region_means(region_map, torch.tensor([3, 7]), values)  # 9 is not asked for
    torch.testing.assert_close(means, torch.tensor([[3.0, 1.0], [4.0, 1.0]]))


def test_nothing_to_average():
    values = torch.ones(2, 2, 2)
    assert region_means(torch.zeros(2, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long), values).shape == (0, 2)
    absent = region_means(torch.zeros(2, 2, dtype=torch.long), torch.tensor([4]), values)
    assert absent.tolist() == [[0, 0]]
