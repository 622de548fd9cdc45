import numpy as np
import pytest

from deepunetto_mm.annotations import read_annotations, write_dataset


@pytest.fixture
def labelme(annotated, tmp_path):
    """Write pictures and read and write them; options go to ``write_dataset``."""

    def write(pictures, **options):
        for name, shapes in pictures.items():
            annotated.write_labelme(tmp_path / 'in' / f'{name}.json', shapes)
        _, found = read_annotations(str(tmp_path / 'in'))
        return write_dataset(found, tmp_path / 'out', **options)

    return write


@pytest.fixture
def folders(annotated, tmp_path):
    """Write pictures and maps, and read and write them."""

    def write(masks, regions=None, **options):
        for folder, maps in (('masks', masks), ('regions', regions or {})):
            for name, values in maps.items():
                annotated.write_picture(tmp_path / f'in/images/{name}.png', sum(map(ord, name)))
                annotated.write_map(tmp_path / f'in/{folder}/{name}.png', values)
        _, found = read_annotations(str(tmp_path / 'in'))
        return write_dataset(found, tmp_path / 'out', **options)

    return write


@pytest.fixture
def tree(annotated, tmp_path):
    """Three pictures with masks of the ring and the square: 1 and 2."""
    for index, name in enumerate(('train/a', 'train/b', 'val/a')):
        annotated.write_picture(tmp_path / f'images/{name}.png', index)
        mask = annotated.RING.astype(np.uint8) + 2 * annotated.SQUARE.astype(np.uint8)
        annotated.write_map(tmp_path / f'masks/{name}.png', mask)
    return tmp_path
