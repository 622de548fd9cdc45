"""tools/misc/browse_dataset.py draws the data as the network gets it."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from deepunetto_mm.visualization import RegionVisualizer, rgb_from_inputs


@pytest.fixture
def browse(in_process):
    return in_process('tools/misc/browse_dataset.py')


def test_draws_picture_mask_regions_and_names(browse, config, mmseg_scope, tmp_path):
    browse(config, '--out-dir', tmp_path, '--number', 2)
    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    visualizer = RegionVisualizer(name='expected')
    visualizer.dataset_meta = dataset.metainfo
    drawn = sorted(tmp_path.glob('*.png'))
    assert [path.name for path in drawn] == ['00000_shapes_seed0_00000.png', '00001_shapes_seed0_00001.png']
    for path, item in zip(drawn, (dataset[0], dataset[1])):
        image = rgb_from_inputs(item['inputs'], (64, 64))
        expected = visualizer.draw(image, item['data_samples'], draw_pred=False, with_image=True)
        np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], expected)


def test_no_picture_is_no_number(browse, config, capsys):
    with pytest.raises(SystemExit):
        browse(config, '--number', 0)
    assert '--number must be at least 1, got 0' in capsys.readouterr().err


def test_augmentation_moves_picture_and_regions_alike(browse, config, tmp_path):
    flipping = tmp_path / 'flipping.py'
    flipping.write_text(
        f'_base_ = [{str(config)!r}]\n'
        'train_dataloader = dict(dataset=dict(pipeline=[\n'
        "    dict(type='RandomFlip', prob=1.0), dict(type='deepunetto_mm.PackRegionInputs')]))\n"
    )
    browse(config, '--out-dir', tmp_path / 'plain', '--number', 1)
    browse(flipping, '--out-dir', tmp_path / 'flipped', '--number', 1)
    plain, flipped = (cv2.imread(str(next((tmp_path / name).iterdir()))) for name in ('plain', 'flipped'))
    side = 384  # 6 * 64
    top = next(
        row
        for row in range(plain.shape[0] - side + 1)
        if (plain[row : row + side, :side] == flipped[row : row + side, :side][:, ::-1]).all()
    )
    # Tints, outlines and boxes are mirrored; names are not.
    annotated, mirrored = plain[top : top + side, side + 4 :], flipped[top : top + side, side + 4 :][:, ::-1]
    assert (annotated == mirrored).all(axis=-1).mean() > 0.85


@pytest.fixture
def bending(config, tmp_path):
    """A config with random deformation, and weights of the pixels."""
    path = tmp_path / 'bending.py'
    path.write_text(
        f'_base_ = [{str(config)!r}]\n'
        "train_dataloader = dict(dataset=dict(pipeline=[dict(type='deepunetto_mm.ElasticDeformation'),\n"
        "    dict(type='deepunetto_mm.AddBorderWeights'), dict(type='deepunetto_mm.PackRegionInputs')]))\n"
    )
    return path


def test_the_seed_of_the_config_draws_the_same_again(browse, bending, tmp_path):
    pictures = []
    for name, seed in (('one', 0), ('again', 0), ('other', 1)):
        np.random.seed(None)
        browse(bending, '--out-dir', tmp_path / name, '--number', 1, '--cfg-options', f'randomness.seed={seed}')
        pictures.append(cv2.imread(str(next((tmp_path / name).iterdir()))))
    one, again, other = pictures
    np.testing.assert_array_equal(one, again)
    assert one.shape[1] == other.shape[1]
    assert (one[100:300, :384] != other[100:300, :384]).any()  # magnified alike, below titles of one height


def test_weights_are_drawn_beside_the_picture(browse, bending, tmp_path):
    browse(bending, '--out-dir', tmp_path / 'out', '--number', 1)
    drawn = cv2.imread(str(next((tmp_path / 'out').iterdir())))[..., ::-1]
    assert drawn.shape[1] == 3 * 6 * 64 + 2 * 4
    dark, yellow = (68, 1, 84), (253, 231, 36)  # the ends of the colour map
    for colour in (dark, yellow):
        assert (drawn[100:300, -384:] == colour).all(-1).any()


def test_other_splits_and_all_samples(browse, config, tmp_path, capsys):
    browse(config, '--split', 'test', '--out-dir', tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert f'3 of 3 samples: {tmp_path}' in capsys.readouterr().out


def test_annotations_in_the_frame_of_the_original_picture(browse, tmp_path):
    """In testing the picture is resized and its annotation is not."""
    for folder, value in (('images', 200), ('masks', 1)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'a.png'), np.full((64, 64), value, np.uint8))
    config = tmp_path / 'config.py'
    groups = [dict(name='b', members=['b'], fine_classes=['c'])]
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 32)),
        dict(type='LoadAnnotations'),
        dict(type='deepunetto_mm.LoadRegions'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    dataset = dict(
        type='deepunetto_mm.CoarseFineDataset',
        test_mode=True,
        data_root=str(tmp_path),
        img_suffix='.png',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        fine_label_file=None,
        metainfo=dict(taxonomy=dict(classes=['a', 'b'], groups=groups)),
        pipeline=pipeline,
    )
    config.write_text(f"default_scope = 'mmseg'\ntest_dataloader = dict(dataset={dataset!r})\n")
    browse(config, '--split', 'test', '--out-dir', tmp_path / 'out')
    drawn = cv2.imread(str(tmp_path / 'out' / '00000_a.png'))
    assert drawn.shape[1] == 2 * 6 * 64 + 4
    assert (drawn[100:300, 100:300] == 200).all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], "no config at 'nowhere.py'"),
        (['CONFIG', '--cfg-options', 'train_dataloader=None'], 'has no train_dataloader'),
        (['CONFIG', '--cfg-options', 'train_dataloader.dataset.type=deepunetto_mm.Nothing'], 'Nothing'),
    ],
)
def test_what_is_missing_is_one_line(browse, config, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        browse(*[config if argument == 'CONFIG' else argument for argument in arguments])
    assert stopped.value.code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ')
    assert message in error
