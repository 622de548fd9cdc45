from types import SimpleNamespace

import pytest
from torch import nn

from deepunetto_mm.utils.head_checks import check_heads

CLASSES = ['grass', 'dog', 'cat']


class _Part(nn.Module):
    """A module with attributes."""

    def __init__(self, **values):
        super().__init__()
        for name, value in values.items():
            setattr(self, name, value)


def _head(weights=None, ignore_index=255, out_channels=3):
    return _Part(loss_decode=_Part(class_weight=weights), ignore_index=ignore_index, out_channels=out_channels)


def test_heads_that_fit():
    check_heads(SimpleNamespace(decode_head=_head([1, 2, 3]), auxiliary_head=nn.ModuleList([_head()])), CLASSES, 255)
    check_heads(SimpleNamespace(decode_head=_head([5.0], out_channels=1)), ['grass', 'dog'], 255)
    check_heads(SimpleNamespace(), CLASSES, 255)  # a classifier has none


def test_class_weights_are_counted_in_each_head_and_loss():
    heads = nn.ModuleList([_head(), _head([1, 2])])
    with pytest.raises(
        ValueError, match=r'auxiliary_head\[1\]\.loss_decode: class_weight of _Part .* 3 classes .* got 2'
    ):
        check_heads(SimpleNamespace(decode_head=_head(), auxiliary_head=heads), CLASSES, 255)
    several = _Part(
        loss_decode=nn.ModuleList([_Part(class_weight=None), _Part(class_weight=[1])]), ignore_index=255, out_channels=3
    )
    with pytest.raises(ValueError, match=r'model\.decode_head\.loss_decode.* got 1'):
        check_heads(SimpleNamespace(decode_head=several), CLASSES, 255)


def test_another_ignored_label():
    with pytest.raises(ValueError, match=r'model\.decode_head\.ignore_index is 0, .* 255: set both to the same'):
        check_heads(SimpleNamespace(decode_head=_head(ignore_index=0)), CLASSES, 255)
