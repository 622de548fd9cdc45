"""tools/dataset_converters/threshold_masks.py makes a dataset of pictures that have names only."""

import csv
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from deepunetto_mm.datasets import CoarseFineDataset
from deepunetto_mm.threshold_masks import converter

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='deepunetto_mm.LoadRegions'),
    dict(type='deepunetto_mm.PackRegionInputs'),
]
#: A dark square of 10x10 within 30x40 pixels.
SQUARE = np.zeros((30, 40), bool)
SQUARE[10:20, 15:25] = True
CLASSES = 'fine,fine_id,coarse,coarse_id\nlime,1,citrus,1\ngala,0,apple,0\n'


@pytest.fixture
def run(in_process, monkeypatch, tmp_path):
    """Run the tool in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return in_process('tools/dataset_converters/threshold_masks.py')


@pytest.fixture
def fail(run, capsys):
    """Run the tool and return the line of the error."""

    def fail(*arguments):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        assert stopped.value.code == 1
        return capsys.readouterr().err.splitlines()[-1]

    return fail


@pytest.fixture
def write(tmp_path):
    def write(path, object_mask=SQUARE, ground=200, suffix='.png'):
        file = tmp_path / (path + suffix)
        file.parent.mkdir(parents=True, exist_ok=True)
        image = np.full((30, 40, 3), ground, np.uint8)
        image[object_mask] = 50
        cv2.imwrite(str(file), image)
        return file

    return write


@pytest.fixture
def folders(write):
    """Two pictures of limes and one of a gala; the mask of lime/2 touches the border with 4 of 136 pixels."""
    touching = SQUARE.copy()
    touching[10:14, :15] = True
    return [write('in/gala/1'), write('in/lime/1'), write('in/lime/2', touching)]


def _rows(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def _mask(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_folders_become_a_dataset(run, folders, tmp_path, mmseg_scope, capsys):
    run('in', '--out-dir', 'out', '--group', 'fruit', '--sheet', '2')
    out = tmp_path / 'out'
    assert '3 of 3 pictures kept: out' in capsys.readouterr().out
    metainfo = json.loads((out / 'taxonomy.json').read_text())
    dataset = CoarseFineDataset(
        data_root=str(out),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png',
        metainfo=metainfo,
        pipeline=PIPELINE,
    )
    assert dataset.metainfo['classes'] == ('background', 'fruit')
    samples = [item['data_samples'] for item in dataset]
    assert [sample.gt_regions.fine_labels.tolist() for sample in samples] == [[0], [1], [1]]
    assert (samples[0].gt_sem_seg.data[0].numpy() == SQUARE).all()
    assert (out / 'images/lime/1.png').is_symlink()
    assert [row['image'] for row in _rows(out / 'labels.csv')] == ['gala/1', 'lime/1', 'lime/2']
    first, _, last = _rows(out / 'quality.csv')
    assert first == dict(
        split='',
        image='gala/1',
        fine_class='gala',
        status='kept',
        channel='luminance',
        polarity='dark',
        threshold='50.0',
        area=str(round(100 / 1200, 4)),
        separability='1.0',
        border='0.0',
        score='1.0',
    )
    assert float(last['border']) == float(f'{4 / 136:.4f}')
    assert float(last['score']) == pytest.approx(1 - 4 / 136, abs=1e-4)
    assert cv2.imread(str(out / 'sheet.png')).shape[1] == 2 * 256 + 4
    assert not [path for path in out.rglob('.*') if path.name != '.threshold_masks.jsonl']


def test_a_table_of_classes_gives_each_picture_the_label_of_its_generic_class(run, folders, tmp_path):
    (tmp_path / 'classes.csv').write_text(CLASSES)
    run('in', '--classes', 'classes.csv', '--out-dir', 'out', '--copy', '--workers', '2')
    assert (_mask(tmp_path / 'out/masks/gala/1.png') == SQUARE * 1).all()
    assert (_mask(tmp_path / 'out/masks/lime/1.png') == SQUARE * 2).all()
    assert not (tmp_path / 'out/images/lime/1.png').is_symlink()
    assert (tmp_path / 'out/images/lime/1.png').read_bytes() == folders[1].read_bytes()
    taxonomy = json.loads((tmp_path / 'out/taxonomy.json').read_text())['taxonomy']
    assert taxonomy['classes'] == ['background', 'apple', 'citrus']


def test_a_table_of_pictures_with_ids_and_splits_one_after_the_other(run, write, tmp_path, mmseg_scope):
    """Of the shape in which groceries come: paths begin with the split, which is a folder of the output anyway."""
    for name in ('train/a', 'train/b', 'val/a'):
        write(f'in/{name}', suffix='.jpg')
    (tmp_path / 'classes.csv').write_text(CLASSES)
    (tmp_path / 'train.csv').write_text('image,fine_id,coarse_id\ntrain/a.jpg,1,1\ntrain/b.jpg,0,0\n')
    (tmp_path / 'val.csv').write_text('image,fine_id\nval/a.jpg,0\n')
    for split in ('train', 'val', 'train'):
        run(
            'in', '--table', f'{split}.csv', '--classes', 'classes.csv', '--split', split, '--out-dir', 'out'
        )  # fmt: skip
    assert {(row['split'], row['image'], row['fine_class']) for row in _rows(tmp_path / 'out/labels.csv')} == {
        ('train', 'a', 'lime'),
        ('train', 'b', 'gala'),
        ('val', 'a', 'gala'),
    }
    assert len(_rows(tmp_path / 'out/quality.csv')) == 3
    dataset = CoarseFineDataset(
        data_root=str(tmp_path / 'out'),
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
        metainfo=json.loads((tmp_path / 'out/taxonomy.json').read_text()),
        split='train',
        pipeline=PIPELINE,
    )
    assert [item['data_samples'].gt_regions.labels.tolist() for item in dataset] == [[1], [0]]


def test_all_splits_of_a_table_have_the_taxonomy_of_all(run, write, tmp_path):
    write('in/a')
    write('in/b')
    (tmp_path / 't.csv').write_text('image,fine_class,split\na,gala,train\nb,lime,val\n')
    run('in', '--table', 't.csv', '--split', 'val', '--out-dir', 'one')
    taxonomy = json.loads((tmp_path / 'one/taxonomy.json').read_text())['taxonomy']
    assert taxonomy['groups'][0]['fine_classes'] == ['gala', 'lime']
    run('in', '--table', 't.csv', '--out-dir', 'both')
    assert (tmp_path / 'both/masks/train/a.png').is_file()
    assert (tmp_path / 'both/masks/val/b.png').is_file()


def test_bad_masks_are_left_out_and_listed(run, folders, tmp_path, capsys):
    out = tmp_path / 'out'
    run('in', '--out-dir', 'out')
    assert (out / 'images/lime/2.png').exists()
    run('in', '--out-dir', 'out', '--min-quality', '0.98')
    assert 'left out: lime/2: dropped (score 0.97)\n2 of 3 pictures kept' in capsys.readouterr().out
    assert [row['status'] for row in _rows(out / 'quality.csv')] == ['kept', 'kept', 'dropped']
    assert len(_rows(out / 'labels.csv')) == 2
    assert not (out / 'images/lime/2.png').exists()
    assert not (out / 'masks/lime/2.png').exists()
    run('in', '--out-dir', 'out', '--min-quality', '0.97')
    assert (out / 'masks/lime/2.png').exists()
    assert len(_rows(out / 'labels.csv')) == 3


def test_no_picture_left_is_an_error(fail, folders, write, tmp_path):
    write('flat/a/1', np.zeros((30, 40), bool))
    assert 'no picture is left' in fail('flat', '--out-dir', 'out', '--min-quality', '0.1')
    assert _rows(tmp_path / 'out/quality.csv')[0]['score'] == '0.0'


def test_a_picture_without_object_is_kept_by_default(run, write, tmp_path):
    write('in/a/1', np.zeros((30, 40), bool))
    run('in', '--out-dir', 'out')
    assert not _mask(tmp_path / 'out/masks/a/1.png').any()


def test_what_is_done_is_not_done_again(run, folders, tmp_path, monkeypatch):
    calls = []

    def stop_at_the_third(path):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(path)

    read = converter.read_rgb
    monkeypatch.setattr(converter, 'read_rgb', stop_at_the_third)
    with pytest.raises(SystemExit) as stopped:
        run('in', '--out-dir', 'out', '--sheet', '0')
    assert stopped.value.code == 130
    assert not (tmp_path / 'out/labels.csv').exists()
    with (tmp_path / 'out/.threshold_masks.jsonl').open('a') as journal:
        journal.write('{"place": "lime/2", "sco')  # killed while writing

    def count(path):
        seen.append(path.relative_to('in').as_posix())
        return read(path)

    seen = []
    monkeypatch.setattr(converter, 'read_rgb', count)
    run('in', '--out-dir', 'out', '--sheet', '0')
    assert seen == ['lime/2.png']
    assert len(_rows(tmp_path / 'out/labels.csv')) == 3

    before = {name: (tmp_path / 'out' / name).read_bytes() for name in ('labels.csv', 'quality.csv')}
    seen.clear()
    run('in', '--out-dir', 'out', '--sheet', '0')
    assert seen == []
    assert before == {name: (tmp_path / 'out' / name).read_bytes() for name in before}

    run('in', '--out-dir', 'out', '--sheet', '0', '--method', 'li')  # another mask
    assert len(seen) == 3
    seen.clear()
    (tmp_path / 'out/masks/gala/1.png').unlink()
    run('in', '--out-dir', 'out', '--sheet', '0', '--method', 'li')
    assert seen == ['gala/1.png']
    folders[0].unlink()
    run('in', '--out-dir', 'other', '--sheet', '0')
    assert not (tmp_path / 'other/masks/gala').exists()


def test_pictures_that_are_gone_leave_the_output(run, folders, write, tmp_path):
    (tmp_path / 'classes.csv').write_text(CLASSES)
    run('in', '--classes', 'classes.csv', '--out-dir', 'out')
    folders[2].unlink()
    run('in', '--classes', 'classes.csv', '--out-dir', 'out')
    assert sorted(path.name for path in (tmp_path / 'out/masks/lime').iterdir()) == ['1.png']
    assert sorted(path.name for path in (tmp_path / 'out/images/lime').iterdir()) == ['1.png']


def test_a_truncated_picture_is_an_error_or_listed(run, fail, folders, tmp_path, capsys):
    folders[1].write_bytes(folders[1].read_bytes()[:-9])
    error = fail('in', '--out-dir', 'out')
    assert error.startswith('error: in/lime/1.png: the file is truncated after')
    run('in', '--out-dir', 'out', '--skip-errors')
    assert 'left out: lime/1: error: in/lime/1.png: the file is truncated' in capsys.readouterr().out
    row = _rows(tmp_path / 'out/quality.csv')[1]
    assert row['status'].startswith('error: in/lime/1.png: the file is truncated')
    assert row['score'] == ''
    assert [row['image'] for row in _rows(tmp_path / 'out/labels.csv')] == ['gala/1', 'lime/2']
    folders[1].write_bytes(b'no picture at all')
    assert 'lime/1.png: not a picture, or a damaged one' in fail('in', '--out-dir', 'out')


@pytest.mark.parametrize('palette', [False, True])
def test_masks_are_compared_with_those_of_experts(run, write, tmp_path, capsys, palette):
    """Half of the expert's object is the square, and a quarter of it is to be ignored."""
    expert = np.zeros((30, 40), np.uint8)
    expert[10:20, 5:25] = 3
    expert[10:20, 5:10] = 255
    (tmp_path / 'masks').mkdir()
    for name in 'ab':
        write(f'in/{name}')
        mask = Image.fromarray(expert)
        if palette:
            mask.putpalette([7 * value % 256 for value in range(768)])
        mask.save(tmp_path / 'masks' / f'{name}.png')
    run('in', '--compare', 'masks', '--foreground', '2', '3')
    out = capsys.readouterr().out
    assert '2 pictures of in, object: mask values [2, 3]' in out
    lines = [[cell.strip() for cell in line.split('|')[1:-1]] for line in out.splitlines() if line.startswith('| otsu')]
    assert [line[1] for line in lines] == ['luminance', 'saturation', 'red', 'green', 'blue', 'auto']
    assert lines[0] == ['otsu', 'luminance', '66.7', '66.7', '0', '-']
    assert lines[1][2] == '0.0'
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['in'], 'give either --out-dir, to write masks, or --compare'),
        (['in', '--out-dir', 'in/out'], 'is within the folder of pictures'),
        (['in', '--out-dir', 'out', '--min-quality', '2'], '--min-quality must be from 0 to 1'),
        (['in', '--out-dir', 'out', '--workers', '0'], '--workers must be at least 1'),
        (['in', '--out-dir', 'out', '--min-part', '2'], 'min_part must be a share'),
        (['nowhere', '--out-dir', 'out'], 'nowhere: no such folder'),
        (['in', '--out-dir', 'out', '--classes', 'few.csv'], "'lime' is not a fine class of the taxonomy"),
        (
            ['in', '--out-dir', 'out', '--table', 'unnamed.csv', '--classes', 'classes.csv'],
            'no fine class, which determines its',
        ),
        (['in', '--out-dir', 'out', '--table', 'unnamed.csv'], 'no picture has a fine class'),
        (['in', '--out-dir', 'out', '--table', 'half.csv'], 'some rows have no split'),
        (['in', '--out-dir', 'out', '--table', 'outside.csv'], "the split '../..' is not a valid folder name in"),
        (['in', '--out-dir', 'out', '--split', '/tmp'], "the split '/tmp' is not a valid folder name in --out-dir"),
        (['in', '--compare', 'masks'], 'masks/gala/1.png: no mask of one channel and 40x30 pixels'),
    ],
)
def test_what_is_wrong_is_one_line(fail, folders, tmp_path, arguments, message):
    (tmp_path / 'few.csv').write_text('fine,coarse\ngala,apple\n')
    (tmp_path / 'classes.csv').write_text(CLASSES)
    (tmp_path / 'unnamed.csv').write_text('image,fine_class\ngala/1,\n')
    (tmp_path / 'half.csv').write_text('image,fine_class,split\ngala/1,gala,train\nlime/1,lime,\n')
    (tmp_path / 'outside.csv').write_text('image,fine_class,split\ngala/1,gala,../..\n')
    error = fail(*arguments)
    assert error.startswith('error: ')
    assert message in error


def test_a_journal_of_another_maker_removes_nothing_outside(run, folders, tmp_path):
    run('in', '--out-dir', 'out', '--sheet', '0')
    mine = tmp_path / 'mine.png'
    mine.write_bytes(b'')
    lines = ['1', '{}', '[' * 100_000, '{"place": 3, "suffix": ".png", "split": ""}']
    for place in ('../../mine', str(tmp_path / 'mine')):
        lines.append(json.dumps(dict(place=place, suffix='.png', split='', key='', status='kept', score=1)))
    with (tmp_path / 'out/.threshold_masks.jsonl').open('a') as journal:
        journal.write('\n'.join(lines))
    run('in', '--out-dir', 'out', '--sheet', '0')
    assert mine.exists()
    assert len(_rows(tmp_path / 'out/labels.csv')) == 3


@pytest.mark.parametrize('place', ['\0', 'x' * 5000, '\ud800'])
def test_a_journal_with_names_that_no_file_can_have(run, folders, tmp_path, place):
    run('in', '--out-dir', 'out', '--sheet', '0')
    with (tmp_path / 'out/.threshold_masks.jsonl').open('a') as journal:
        journal.write(json.dumps(dict(place=place, suffix='.png', split='')))
    run('in', '--out-dir', 'out', '--sheet', '0')
    assert len(_rows(tmp_path / 'out/labels.csv')) == 3


def test_a_journal_without_scores_is_made_anew(run, folders, tmp_path):
    run('in', '--out-dir', 'out', '--sheet', '0')
    journal, rows = tmp_path / 'out/.threshold_masks.jsonl', _rows(tmp_path / 'out/quality.csv')
    for score in ({}, dict(score='good')):
        records = [json.loads(line) for line in journal.read_text().splitlines()]
        for record in records:
            del record['score']
            record.update(score)
        journal.write_text('\n'.join(map(json.dumps, records)))
        run('in', '--out-dir', 'out', '--sheet', '0')
        assert _rows(tmp_path / 'out/quality.csv') == rows


def test_a_taxonomy_file_that_is_none(fail, folders, tmp_path):
    (tmp_path / 'out').mkdir()
    for content, message in (
        ('{', 'not JSON'),
        ('[]', "has no 'taxonomy'"),
        ('{"taxonomy": 3}', 'must be a dict, got 3'),
    ):
        (tmp_path / 'out/taxonomy.json').write_text(content)
        assert message in fail('in', '--out-dir', 'out')


def test_an_output_folder_holds_one_taxonomy_and_one_layout(run, fail, folders, tmp_path):
    run('in', '--out-dir', 'out', '--split', 'train')
    assert 'quality.csv is of pictures with splits; use another folder' in fail('in', '--out-dir', 'out')
    folders[0].unlink()
    error = fail('in', '--out-dir', 'out', '--split', 'val')
    assert "taxonomy.json has another taxonomy (fine classes of 'object': without ['gala'])" in error


def test_two_pictures_of_one_name_are_refused(fail, write, tmp_path):
    write('in/val/a')
    write('in/a')
    (tmp_path / 't.csv').write_text('image,fine_class\nval/a,gala\na,gala\n')
    assert "would both be picture 'a'" in fail('in', '--table', 't.csv', '--split', 'val', '--out-dir', 'out')
