"""tools/misc/fetch_weights.py downloads what configs name, and prints where it is."""

from pathlib import Path

import torch

ADDRESS = 'https://weights.example/a-1234.pth'


def test_the_command_prints_where_they_are(in_process, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda address, file: Path(file).write_text(address))
    (tmp_path / 'a.py').write_text(f"model = dict(backbone=dict(init_cfg=dict(checkpoint='{ADDRESS}')))")
    (tmp_path / 'b.py').write_text('model = dict()')
    in_process('tools/misc/fetch_weights.py')(tmp_path / 'a.py', tmp_path / 'b.py')
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.endswith(f'model.backbone.init_cfg.checkpoint: {tmp_path}/hub/checkpoints/a-1234.pth')
    assert second.endswith('b.py: no weights to download')
    assert (tmp_path / 'hub/checkpoints/a-1234.pth').read_text() == ADDRESS
