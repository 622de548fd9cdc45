"""Which transforms the graphs and the runtime do, and which are refused."""

from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict

from deepunetto_mm.deployment.preparation import preparation_of
from deepunetto_mm.utils.errors import UsageError

pytestmark = pytest.mark.usefixtures('mmseg_scope')
ADAPTED = dict(type='deepunetto_mm.ChromaticAdaptation', percentile=99.0)
TWICE = dict(type='Resize', scale_factor=2.0, keep_ratio=True)


def _preparation(*transforms):
    pipeline = [
        dict(type='LoadImageFromFile', backend_args=None),
        *transforms,
        dict(type='LoadAnnotations'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    dataset = dict(type='deepunetto_mm.CoarseFineDataset', pipeline=pipeline)
    return preparation_of(SimpleNamespace(cfg=ConfigDict(test_dataloader=dict(dataset=dataset))))


def test_the_graphs_do_what_leaves_the_size():
    plain = _preparation()
    assert (plain.transforms, plain.resizes, plain.percentile) == ([], False, None)
    adapted = _preparation(ADAPTED)
    assert adapted.transforms == [dict(type='ChromaticAdaptation', percentile=99.0, by='graph')]
    assert (adapted.resizes, adapted.percentile) == (False, 99.0)


def test_the_runtime_does_all_before_a_network_that_resizes():
    twice = dict(
        type='Resize', scale=None, scale_factor=(2.0, 2.0), keep_ratio=True, interpolation='bilinear', by='runtime'
    )
    white = dict(type='ChromaticAdaptation', percentile=99.0, by='runtime')
    for order, expected in (((ADAPTED, TWICE), [white, twice]), ((TWICE, ADAPTED), [twice, white])):
        found = _preparation(*order)
        assert found.transforms == expected
        assert (found.resizes, found.percentile) == (True, None)


@pytest.mark.parametrize(
    ('transforms', 'message'),
    [
        ([dict(type='ResizeShortestEdge', scale=64, max_size=99)], 'the transform ResizeShortestEdge of test_dataload'),
        (
            [dict(type='LoadImageFromFile', to_float32=True)],
            'the transform LoadImageFromFile of test_dataload',
        ),
        ([dict(type='LoadBiomedicalImageFromFile')], 'the transform LoadBiomedicalImageFromFile of test_dataload'),
        ([dict(type='Resize', scale=(9, 9), backend='pillow')], r"mmcv's Resize with backend='cv2'"),
        ([ADAPTED, ADAPTED], 'ChromaticAdaptation is in the test pipeline more than once'),
    ],
)
def test_others_are_named(transforms, message):
    with pytest.raises(UsageError, match=message):
        _preparation(*transforms)
