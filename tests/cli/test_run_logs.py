"""Logs of runs that were resumed and killed."""

from deepunetto_mm.cli.run_logs import read_log_lines


def test_logs_are_joined_without_what_was_cut_off(tmp_path):
    for start, text in (('2', '{"loss": 2.0}\n'), ('1', '{"loss": 3.0}\n{"mIoU": 5.0}\n{"lo')):
        (tmp_path / start / 'vis_data').mkdir(parents=True)
        (tmp_path / start / 'vis_data' / 'scalars.json').write_text(text)
    assert read_log_lines(tmp_path) == ['{"loss": 3.0}', '{"mIoU": 5.0}', '{"loss": 2.0}']
    assert read_log_lines(str(tmp_path / '1' / 'vis_data' / 'scalars.json')) == ['{"loss": 3.0}', '{"mIoU": 5.0}']
    assert read_log_lines(tmp_path / '1' / 'vis_data') == []
