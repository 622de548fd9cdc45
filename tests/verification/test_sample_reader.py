"""A sample is read as the pipeline loads it, and no further."""

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset

from deepunetto_mm.datasets import DataError
from deepunetto_mm.verification.sample_reader import SampleReader, taxonomy_of


class Listed(BaseDataset):
    """Samples as they are given."""

    METAINFO = dict(taxonomy=dict(classes=['a', 'b'], groups=[dict(name='b', members=['b'], fine_classes=['c'])]))

    def __init__(self, infos, pipeline=()):
        self.infos = infos
        super().__init__(pipeline=list(pipeline), serialize_data=False)

    def load_data_list(self):
        return self.infos


def _write(path, array):
    assert cv2.imwrite(str(path), array)
    return str(path)


NOISE = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)


def test_the_content_is_that_of_the_pixels(tmp_path, mmseg_scope):
    """Files of different formats, of another shape, and of one colour."""
    arrays = dict(a_png=NOISE, b_bmp=NOISE, c_png=NOISE.reshape(4, 3, 3), d_png=np.full((3, 4, 3), 9, np.uint8))
    paths = [_write(tmp_path / name.replace('_', '.'), array) for name, array in arrays.items()]
    reader = SampleReader(Listed([dict(img_path=path) for path in paths], [dict(type='LoadImageFromFile')]))
    facts = [reader[position] for position in range(4)]
    assert facts[0].content == facts[1].content is not None
    assert facts[2].content not in (None, facts[0].content)
    assert facts[3].content is None
    assert [item.size for item in facts] == [(4, 3), (4, 3), (3, 4), (4, 3)]
    assert [item.path for item in facts] == paths
    assert [[finding.kind for finding in item.findings] for item in facts] == [[], [], [], ['picture of one colour']]


def test_transforms_run_up_to_the_last_that_loads(tmp_path, mmseg_scope):
    picture, mask = _write(tmp_path / 'a.png', NOISE), _write(tmp_path / 'b.png', np.eye(3, 4, dtype=np.uint8))
    ran = []
    pipeline = [
        dict(type='LoadImageFromFile'),
        lambda results: ran.append('between') or results,
        dict(type='LoadAnnotations'),
        lambda results: ran.append('after') or results,
    ]
    info = dict(img_path=picture, seg_map_path=mask, seg_fields=[], reduce_zero_label=False, gt_label=0)
    facts = SampleReader(Listed([info], pipeline))[0]
    assert ran == ['between']
    assert facts.class_pixels.tolist() == [9, 3, 0]  # a, b, ignored
    assert (facts.files, facts.picture_label, facts.areas) == ([mask], 0, None)


@pytest.mark.parametrize('ignored', [-1, 255, 2**40])
def test_any_number_may_be_ignored(mmseg_scope, ignored):
    class LoadMap:
        def __call__(self, results):
            return dict(results, ori_shape=(3, 4), gt_seg_map=np.array([[0, 1, 1, ignored]] * 3))

    class Ignoring(Listed):
        METAINFO = dict(taxonomy=dict(Listed.METAINFO['taxonomy'], ignore_index=ignored))

    facts = SampleReader(Ignoring([dict(img_path='a.png', img=NOISE)], [LoadMap()]))[0]
    assert facts.findings == []
    assert facts.class_pixels.tolist() == [3, 6, 3]


def test_some_samples_alone(tmp_path, mmseg_scope):
    paths = [_write(tmp_path / f'{number}.png', NOISE) for number in range(4)]
    reader = SampleReader(Listed([dict(img_path=path) for path in paths], [dict(type='LoadImageFromFile')]), [3, 1])
    assert [reader[position].path for position in range(len(reader))] == [paths[3], paths[1]]
    assert reader.path(1) == paths[1]


@pytest.mark.parametrize(
    ('error', 'kind', 'message'),
    [
        (OSError('broken\nstream'), 'unreadable file', 'a.png: OSError: broken stream'),
        (ValueError('put it first'), 'pipeline', 'a.png: ValueError: put it first'),
        (DataError('a.png: odd', 'size mismatch'), 'size mismatch', 'a.png: odd'),
    ],
)
def test_what_a_transform_raises_becomes_a_finding(error, kind, message):
    class LoadNothing:
        def __call__(self, results):
            raise error

    (finding,) = SampleReader(Listed([dict(img_path='a.png', img=NOISE)], [LoadNothing()]))[0].findings
    assert (finding.level, finding.kind, finding.message) == ('error', kind, message)


def test_want_of_memory_is_no_finding():
    class LoadMuch:
        def __call__(self, results):
            raise MemoryError

    with pytest.raises(MemoryError):
        SampleReader(Listed([dict(img_path='a.png', img=NOISE)], [LoadMuch()]))[0]


def test_a_transform_that_drops_the_picture_is_an_error(tmp_path, mmseg_scope):
    content = bytearray(cv2.imencode('.png', np.zeros((6, 8, 3), np.uint8))[1])
    content[content.index(b'IDAT') + 6] ^= 255  # of the pixels, which no look at the header finds
    (tmp_path / 'a.png').write_bytes(content)
    pipeline = [dict(type='LoadImageFromFile', ignore_empty=True, imdecode_backend='pillow')]
    (finding,) = SampleReader(Listed([dict(img_path=str(tmp_path / 'a.png'))], pipeline))[0].findings
    assert (finding.kind, finding.message) == (
        'unreadable file',
        f'{tmp_path}/a.png: LoadImageFromFile could not read it',
    )


def test_classes_of_pictures_are_no_classes_of_pixels(mmseg_scope):
    """mmpretrain's datasets have ``classes`` too, of pictures; mmseg's have an ignore index beside them."""

    class Named(Listed):
        METAINFO = dict(classes=['cat', 'dog'])

    class Segmented(Named):
        ignore_index = 7

    assert taxonomy_of(Named([])) is None
    assert (taxonomy_of(Segmented([])).classes, taxonomy_of(Segmented([])).ignore_index) == (('cat', 'dog'), 7)
    assert taxonomy_of(Listed([])).fine_classes == ('c',)
