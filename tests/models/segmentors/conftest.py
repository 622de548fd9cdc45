"""Scenes for the whole network."""

import pytest
import torch

DOG, CAT = 1, 2


@pytest.fixture
def batch(scene):
    """Three pictures of one size: two objects, none, one whose name is not annotated."""
    boxes = [(1, 1, 8, 7, DOG), (10, 2, 18, 9, CAT)]
    items = [scene(boxes, [0, 2]), scene([], []), scene(boxes[:1], [-1])]
    return torch.stack([item[0] for item in items]), [item[1] for item in items]
