import pytest
import torch

from deepunetto_mm.ops import nearest_points


@pytest.mark.parametrize(
    ('count', 'spread', 'corner'), [(1, 50, 0), (2, 3, -7), (300, 200, 0), (400, 1e4, -5e3), (900, 30, 900)]
)
def test_as_by_all_distances(count, spread, corner):
    """Points among the queries, far from them, and outside of where they are."""
    torch.manual_seed(0)
    queries, points = torch.rand(2000, 2) * 1000, torch.rand(count, 2) * spread + corner
    distances = torch.cdist(queries.double(), points.double())
    found = distances.gather(1, nearest_points(queries, points)[:, None])[:, 0]
    torch.testing.assert_close(found, distances.min(1).values, rtol=1e-6, atol=1e-4)


def test_ties_go_to_the_first():
    points = torch.tensor([[4.0, 0.0], [0.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    assert nearest_points(torch.tensor([[0.0, 3], [2, 0], [4, 0], [1, 1]]), points).tolist() == [1, 0, 0, 1]


def test_no_query():
    assert nearest_points(torch.zeros(0, 2), torch.zeros(3, 2)).tolist() == []
