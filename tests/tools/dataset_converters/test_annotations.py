import json

import pytest


@pytest.fixture
def run(in_process, capsys):
    tool = in_process('tools/dataset_converters/annotations.py')

    def run(*arguments):
        try:
            tool(*arguments)
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr()
        return 0, capsys.readouterr()

    return run


def test_converts_and_says_what_is_left_out(annotated, run, tmp_path):
    box = annotated.shape('cell/Round', annotated.box(2, 2, 9, 9))
    for name in 'ab':
        annotated.write_labelme(tmp_path / 'in' / f'{name}.json', [box])
    out = tmp_path / 'out'
    status, printed = run(tmp_path / 'in', '--out-dir', out, '--rename', 'Round=round')
    assert status == 0
    assert 'JSON files of Labelme' in printed.out
    assert (out / 'labels.csv').read_text() == 'image,region,fine_class\na,1,round\nb,1,round\n'
    status, printed = run(tmp_path / 'in', '--out-dir', tmp_path / 'coco', '--to', 'coco', '--rename', 'Round=round')
    assert status == 0
    assert 'coco, 2 objects for coco' in printed.out
    assert (tmp_path / 'coco/images/a.png').samefile(tmp_path / 'in/a.png')
    content = json.loads((tmp_path / 'coco/annotations/instances.json').read_text())
    assert content['categories'] == [dict(id=1, name='round', supercategory='cell')]
    assert [item['bbox'] for item in content['annotations']] == [[2, 2, 9, 9]] * 2
    (tmp_path / 'in' / 'b.png').write_bytes(b'')
    status, printed = run(tmp_path / 'in', '--out-dir', out)
    assert status == 1
    assert f'left out: {tmp_path / "in/b.png"}: not a picture' in printed.out
    assert 'error: 1 errors' in printed.err
    assert run(tmp_path / 'in', '--out-dir', out, '--without-faulty')[0] == 0
    for _ in range(2):  # nothing is written that would be in the way the second time
        assert 'error: 1 errors' in run(tmp_path / 'in', '--out-dir', tmp_path / 'cvat', '--to', 'cvat')[1].err
    assert run(tmp_path / 'in', '--out-dir', tmp_path / 'cvat', '--to', 'cvat', '--without-faulty')[0] == 0
    printed = run(tmp_path / 'nowhere', '--out-dir', tmp_path / 'cvat', '--to', 'cvat')[1]
    assert f'{tmp_path / "cvat"} is not empty; use another folder' in printed.err  # before anything is read
    assert "'voc' is not one of" in run(tmp_path / 'in', '--out-dir', out, '--format', 'voc')[1].err
