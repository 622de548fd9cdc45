"""Whatever is in a picture, mask, table, annotation file or taxonomy: a result that holds, or our own error.

``DEEPUNETTO_FUZZ=2000 python -m pytest tests/test_unsafe_input.py -s`` tries 2000 inputs of each kind, and counts what
plain mmseg makes of the same pictures and masks.
"""

from __future__ import annotations

import csv
import io
import json
import math
import runpy
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from deepunetto_mm.apis import DeepUNettoInferencer
from deepunetto_mm.datasets import CoarseFineDataset, CocoFineDataset, DataError
from deepunetto_mm.datasets.labelled_pictures import pictures_of_table, read_classes
from deepunetto_mm.models.heads.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.structures import Taxonomy, TaxonomyError

TESTS = Path(__file__).resolve().parent
FUZZING = runpy.run_path(str(TESTS / 'data/fuzzing.py'))
COCO_TREE = runpy.run_path(str(TESTS / 'data/coco_tree.py'))
INPUTS, DAMAGES, PNG_DAMAGES, damaged, fuzz = (
    FUZZING[name] for name in ('INPUTS', 'DAMAGES', 'PNG_DAMAGES', 'damaged', 'fuzz')
)
COMPARE = INPUTS > 100

HEIGHT, WIDTH = 18, 24
TAXONOMY = dict(
    classes=['background', 'cytoplasm', 'nucleus', 'vessel'],
    groups=[
        dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=['neutrophil', 'lymphocyte']),
        dict(name='tube', members=['vessel'], fine_classes=['artery', 'vein']),
    ],
)
RGB = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8), (5, 5), 1)
LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[2:9, 3:9], LABELS[4:6, 4:7], LABELS[12:15], LABELS[0, 20:] = 1, 2, 3, 255
REGIONS = np.zeros((HEIGHT, WIDTH), np.uint16)
REGIONS[2:9, 3:9], REGIONS[12:15, :11], REGIONS[12:15, 11:] = 7, 300, 255


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def whole_pictures() -> list[bytes]:
    rgb, exif = Image.fromarray(RGB), Image.Exif()
    exif[0x112] = 6
    alpha = rgb.copy()
    alpha.putalpha(128)
    several = dict(save_all=True, append_images=[Image.fromarray(RGB[::-1])])
    return [
        encode(rgb, 'png'),
        encode(rgb, 'png', exif=exif),
        encode(rgb.convert('P'), 'png', transparency=3),
        encode(alpha, 'png'),
        encode(Image.fromarray(RGB[..., 0] * np.uint16(257)), 'png'),
        encode(rgb, 'png', **several),
        encode(rgb, 'jpeg', quality=90),
        encode(rgb, 'jpeg', exif=exif, progressive=True),
        encode(rgb.convert('CMYK'), 'jpeg'),
        encode(rgb, 'mpo', **several),
        encode(rgb, 'bmp'),
        encode(rgb, 'gif', **several),
        encode(rgb, 'ppm'),
        *[encode(rgb, 'tiff', compression=name) for name in ('raw', 'tiff_lzw', 'tiff_adobe_deflate', 'jpeg')],
        *[encode(rgb, 'webp', lossless=lossless) for lossless in (True, False)],
    ]


PICTURES = whole_pictures()


def refused(error: Exception) -> str:
    """Name of an error that is ours; others are findings."""
    if not isinstance(error, (DataError, TaxonomyError)):
        raise error
    assert 0 < len(str(error)) < 20_000
    return type(error).__name__


def report(what: str, outcomes: Counter) -> None:
    print(f'\n{what}: {sum(outcomes.values())} inputs')
    for outcome, count in outcomes.most_common():
        print(f'  {count:6} {outcome}')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def tree(tmp_path):
    """One picture with its mask and region map, whole."""
    for folder, array in (('images', RGB), ('masks', LABELS), ('regions', REGIONS)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / 'a.png')
    return tmp_path


def read(root: Path, *, masks: bool = True, regions: bool = False, plain: bool = False, **options):
    """The first sample, by our dataset or by mmseg's."""
    prefix = dict(img_path='images')
    if masks:
        prefix['seg_map_path'] = 'masks'
    if regions:
        prefix['region_map_path'] = 'regions'
    pipeline = [dict(type='LoadImageFromFile')]
    if masks:
        pipeline += [dict(type='LoadAnnotations')] + [dict(type='deepunetto_mm.LoadRegions')] * (not plain)
    pipeline.append(dict(type='PackSegInputs' if plain else 'deepunetto_mm.PackRegionInputs'))
    common = dict(data_root=str(root), data_prefix=prefix, img_suffix='.png', test_mode=not masks)
    common.update(pipeline=pipeline, serialize_data=False)  # mmengine collects garbage after it has serialised
    if plain:
        return BaseSegDataset(metainfo=dict(classes=TAXONOMY['classes']), seg_map_suffix='.png', **common)[0]
    common.update(metainfo=dict(taxonomy=TAXONOMY), fine_label_file=None)
    return CoarseFineDataset(**{**common, **options})[0]


def plainly(root: Path, **options) -> str:
    """What plain mmseg makes of the same file."""
    if not COMPARE:
        return ''
    try:
        read(root, plain=True, **options)
    except MemoryError:
        return ', mmseg wants more memory'
    except Exception as error:
        return ', mmseg wants more memory' if 'nsufficient memory' in str(error) else ', mmseg raises'
    return ', mmseg takes it'


def header_size(file: Path) -> tuple[int, int]:
    with warnings.catch_warnings(), Image.open(file) as image:
        warnings.simplefilter('ignore')
        return image.size


# ---------------------------------------------------------------------------------------------------------- pictures
def test_pictures(tree, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 2**20)  # so that the memory tells whether the limit holds
    file = tree / 'images/a.png'
    inferencer = DeepUNettoInferencer(Config.fromfile(TESTS / 'data/tiny_config.py'), device='cpu', show_progress=False)
    monkeypatch.setattr(inferencer.model, 'test_step', lambda batch: batch['data_samples'])

    def pixels():
        sample = read(tree, masks=False)
        inputs, size = sample['inputs'].numpy(), sample['data_samples'].ori_shape
        assert inputs.shape == (3, *size)
        assert inputs.dtype == np.uint8
        return inputs

    expected = []
    for content in PICTURES:
        file.write_bytes(content)
        expected.append(pixels())

    def check(value):
        number, damages = value
        content = damaged(PICTURES[number], damages)
        file.write_bytes(content)
        try:
            found = pixels()
        except Exception as error:
            outcome = refused(error)
            assert str(file) in str(error)
            assert content != PICTURES[number], 'refused, though it is whole'
            with pytest.raises(DataError, match='a.png'):
                inferencer(file)
            return outcome + plainly(tree, masks=False)
        _, height, width = found.shape
        assert sorted(header_size(file)) == sorted((height, width))
        assert height * width <= 2 * Image.MAX_IMAGE_PIXELS
        (result,) = inferencer(file)
        assert (result['height'], result['width']) == (height, width)
        same = np.array_equal(found, expected[number])
        kind = 'PNG' if content.startswith(FUZZING['PNG_HEAD']) else 'other than PNG'
        checksums = kind == 'PNG' and all(damage[0] in dict.fromkeys(PLAIN) for damage in damages)
        assert same or not checksums, 'a PNG has checksums, and other pixels came out'
        return f'result, {"the same" if same else "other"} pixels ({kind})' + plainly(tree, masks=False)

    strategy = st.tuples(
        st.integers(0, len(PICTURES) - 1), st.lists(st.one_of(DAMAGES, PNG_DAMAGES), min_size=0, max_size=3)
    )
    report('pictures', fuzz(strategy, check, tree))


PLAIN = ('flip', 'write', 'insert', 'truncate', 'remove', 'zero', 'repeat')


# ------------------------------------------------------------------------------------------------- masks, region maps
_arrays = st.fixed_dictionaries(
    dict(
        size=st.one_of(st.just((HEIGHT, WIDTH)), st.sampled_from([(WIDTH, HEIGHT), (1, 1), (HEIGHT, 1), (17, 24)])),
        channels=st.sampled_from([1, 1, 1, 1, 2, 3, 4]),
        dtype=st.sampled_from(['uint8', 'uint8', 'uint8', 'bool', 'uint16', 'int32', 'float32', 'palette']),
        values=st.one_of(
            st.just([]),
            st.lists(st.sampled_from([0, 3, 255]), max_size=4),
            st.lists(st.sampled_from([4, 7, 254, 256, 300, 65_535, 65_536, -1, 2**31 - 1]), max_size=4),
        ),
        kind=st.sampled_from(['png', 'png', 'png', 'tiff', 'bmp', 'ppm', 'jpeg', 'webp']),
        damages=st.one_of(st.just([]), st.lists(DAMAGES, max_size=2)),
    )
)


def labels_of(spec: dict, base: np.ndarray) -> np.ndarray:
    """The base with further values in its corners, in another size."""
    height, width = spec['size']
    labels = np.resize(base, (height, width)).astype(np.int64) if spec['size'] != base.shape else base.astype(np.int64)
    for corner, value in zip([(0, 0), (0, -1), (-1, 0), (-1, -1)], spec['values']):
        labels[corner] = value
    return labels


def write_labels(file: Path, spec: dict, labels: np.ndarray) -> np.ndarray | None:
    """Write a file, and return the labels that it holds; None if it holds none."""
    dtype = 'uint8' if spec['dtype'] == 'palette' else spec['dtype']
    array = labels.astype(dtype)
    if spec['channels'] > 1:
        image = Image.fromarray(np.repeat(array.astype(np.uint8)[..., None], spec['channels'], 2))
    else:
        image = Image.fromarray(array)
    if spec['dtype'] == 'palette' and spec['channels'] == 1:
        image.putpalette(np.random.default_rng(1).integers(0, 256, 768).astype(np.uint8).tobytes())
    kind = spec['kind']
    try:
        content = encode(image, kind)
    except OSError:  # there are no such pictures of this kind
        kind, content = 'tiff', encode(image, 'tiff')
    file.write_bytes(damaged(content, spec['damages']))
    lossless = kind in ('png', 'tiff', 'bmp', 'ppm')
    return array.astype(np.int64) if lossless and spec['channels'] == 1 and dtype != 'float32' else None


@pytest.mark.parametrize('what', ['masks', 'regions'])
def test_labels(tree, what):
    file, base = tree / what / 'a.png', LABELS if what == 'masks' else REGIONS

    def check(spec):
        written = write_labels(file, spec, labels_of(spec, base))
        narrow = what == 'regions' or spec['dtype'] in ('uint8', 'bool', 'palette')
        right = written is not None and narrow and written.shape == base.shape and not spec['damages']
        if right and what == 'masks':
            right = bool(np.isin(written, (0, 1, 2, 3, 255)).all())
        elif right:
            ids = np.unique(written[written != 0])
            right = bool((0 <= written).all() and (written < 2**16).all())
            right = right and all((LABELS[written == id_] > 0).any() for id_ in ids)
        plain = '' if what == 'regions' else plainly(tree)
        try:
            sample = read(tree, regions=what == 'regions')['data_samples']
        except Exception as error:
            outcome = refused(error)
            assert str(file) in str(error)
            assert not right, 'refused, though it is right'
            return outcome + plain
        mask, region_map = sample.gt_sem_seg.data[0].numpy(), sample.gt_region_map.data[0].numpy()
        assert mask.shape == region_map.shape == (HEIGHT, WIDTH)
        assert np.isin(mask, (0, 1, 2, 3, 255)).all()
        regions = sample.gt_regions
        assert set(np.unique(region_map)) - {0} == set(regions.ids.tolist())
        assert set(regions.labels.tolist()) <= {0, 1}
        if right and what == 'masks':
            np.testing.assert_array_equal(mask, written)
            return 'result' + plain
        # A damaged file may happen to be whole, or of other labels that are allowed; it is a PNG's checksums that tell.
        assert right or spec['damages'], 'taken, though it is wrong'
        if not right and spec['kind'] == 'png' and written is not None:
            actual = np.asarray(Image.open(file)).astype(np.int64)
            np.testing.assert_array_equal(actual, written)
        return ('result' if right else 'result, damaged') + plain

    report(what, fuzz(_arrays, check, tree))
