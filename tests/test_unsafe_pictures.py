"""Whatever is in a picture, mask or region map: a result that holds, or our own error.

``DEEPUNETTO_FUZZ=1500 python -m pytest tests/test_unsafe_*.py -s`` tries 1500 inputs of each kind, and counts what
plain mmseg makes of the same pictures and masks.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import runpy
import signal
import time
import warnings
import zlib
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
from deepunetto_mm.datasets import CoarseFineDataset, DataError

TESTS = Path(__file__).resolve().parent
FUZZING = runpy.run_path(str(TESTS / 'data/fuzzing.py'))
DAMAGES, PNG_DAMAGES, damaged, fuzz = (FUZZING[name] for name in ('DAMAGES', 'PNG_DAMAGES', 'damaged', 'fuzz'))
COMPARE = FUZZING['INPUTS'] > 100  # with plain mmseg

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


# OpenCV reads GIF from 4.12 on.
PICTURES = [content for content in whole_pictures() if cv2.imdecode(np.frombuffer(content, np.uint8), 1) is not None]
AWARE = ('side', 'kind', 'content', 'drop', 'double', 'swap')  # damages with the right checksums


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


PLAIN = [
    '; mmseg takes it',
    '; mmseg wants more memory',
    '; mmseg raises with its name',
    '; mmseg raises without its name',
]


def plainly(root: Path, **options) -> str:
    """What plain mmseg makes of the same file, in a process of its own: OpenCV 5 crashes on some animated PNG."""
    if not COMPARE:
        return ''
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return PLAIN[code] if code >= 0 else '; mmseg crashes or hangs'
    code = 0
    try:
        signal.alarm(FUZZING['SECONDS'])  # that of the parent is not inherited
        read(root, plain=True, **options)
    except Exception as error:
        much = isinstance(error, MemoryError) or 'nsufficient memory' in str(error)
        code = 1 if much else 2 if 'a.png' in str(error) else 3
    finally:  # whatever happens, the tests go on in the parent alone
        os._exit(code)


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
        except DataError as error:
            named = str(file) in str(error)
            assert named
            assert content != PICTURES[number], 'refused, though it is whole'
            with pytest.raises(DataError, match='a.png'):
                inferencer(file)
            return 'refused' + plainly(tree, masks=False)
        _, height, width = found.shape
        assert sorted(header_size(file)) == sorted((height, width))
        assert height * width <= 2 * Image.MAX_IMAGE_PIXELS
        (result,) = inferencer(file)
        assert (result['height'], result['width']) == (height, width)
        same = np.array_equal(found, expected[number])
        checksums = content.startswith(FUZZING['PNG_HEAD']) and all(damage[0] not in AWARE for damage in damages)
        truncated = all(damage[0] == 'truncate' for damage in damages)
        assert same or not (checksums or truncated), 'other pixels came out'
        return f'taken, {"the same" if same else "other"} pixels' + plainly(tree, masks=False)

    strategy = st.tuples(
        st.integers(0, len(PICTURES) - 1), st.lists(st.one_of(DAMAGES, PNG_DAMAGES), min_size=0, max_size=3)
    )
    fuzz('pictures', strategy, check, tree)


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
            ids = np.unique(written[written > 0])
            right = bool(((written >= 0) & (written < 2**16)).all())  # no id is negative
            for id_ in ids:
                under = LABELS[written == id_]
                right = right and bool(np.isin(under, (1, 2, 3)).any() or (under == 255).all())
        plain = '' if what == 'regions' else plainly(tree)
        try:
            sample = read(tree, regions=what == 'regions')['data_samples']
        except DataError as error:
            named = str(file) in str(error)
            assert named
            assert not right, 'refused, though it is right'
            return f'refused ({error.kind})' + plain
        mask, region_map = sample.gt_sem_seg.data[0].numpy(), sample.gt_region_map.data[0].numpy()
        assert mask.shape == region_map.shape == (HEIGHT, WIDTH)
        assert np.isin(mask, (0, 1, 2, 3, 255)).all()
        assert set(np.unique(region_map)) - {0} == set(sample.gt_regions.ids.tolist())
        assert set(sample.gt_regions.labels.tolist()) <= {0, 1}
        # A damaged file may happen to be whole, or of other labels that are allowed; it is a PNG's checksums that tell.
        assert right or spec['damages'], 'taken, though it is wrong'
        if written is not None and (right or spec['kind'] == 'png'):
            if what == 'masks':
                np.testing.assert_array_equal(mask, written)
            else:
                # Without those of ignored pixels alone.
                assert len(sample.gt_regions) == len(np.unique(written[(written > 0) & (LABELS < 255)]))
        return ('taken' if right else 'taken, damaged without a loss') + plain

    fuzz(what, _arrays, check, tree)


# -------------------------------------------------------------------------------------------------------------- bombs
def read_bomb(root: Path, plain: bool, sender) -> None:
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read(root, masks=False, plain=plain)
        outcome = 'taken'
    except DataError:
        outcome = 'refused'
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    sender.send((outcome, megabytes, time.perf_counter() - begin))


def test_a_file_of_48_kb_that_holds_400_megapixels(tree):
    content = FUZZING['grey_png'](20_000, 20_000, 1, zlib.compress(bytes(2501 * 20_000), 9))
    (tree / 'images/a.png').write_bytes(content)
    context = multiprocessing.get_context('fork')
    for plain in (False, True)[: 1 + COMPARE]:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=read_bomb, args=(tree, plain, sender))
        child.start()
        outcome, megabytes, seconds = receiver.recv()
        child.join()
        name = 'mmseg' if plain else 'here'
        print(f'\n{len(content)} bytes of PNG, {name}: {outcome}, {megabytes:.0f} MB more, {seconds:.3f} s')
        assert plain or (outcome == 'refused' and megabytes < 20)
