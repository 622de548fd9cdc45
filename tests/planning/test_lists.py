from deepunetto_mm.planning.lists import write_lists


def test_rare_pictures_are_listed_often(tmp_path):
    splits = {str(i): 'train' for i in range(10)} | {'v': 'val', '9v': 'val'}
    assert write_lists(tmp_path, splits, often=['0', '1', 'v']) == 12  # 8 and 2 twice: a third
    assert (tmp_path / 'train.txt').read_text().split() == [*map(str, range(10)), '0', '1']
    assert (tmp_path / 'val.txt').read_text().split() == ['9v', 'v']
    assert write_lists(tmp_path, {'a': 'train', 'v': 'val'}, repeats=3) == 3
    assert (tmp_path / 'train.txt').read_text().split() == ['a'] * 3
    assert (tmp_path / 'val.txt').read_text().split() == ['v']
