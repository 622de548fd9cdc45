"""The page on mixing: its script runs in a folder with nothing but a config in it."""

import re
import runpy

from mmengine.config import Config


def test_the_script_trains_in_a_folder_of_its_own(repository, tmp_path, launch, monkeypatch):
    text = (repository / 'docs' / 'mixing.md').read_text(encoding='utf-8')
    script = re.findall(r'```python\n(.*?)```', text, re.DOTALL)[0]
    cfg = Config.fromfile(repository / 'projects' / 'unet_decoder' / 'unet_decoder_mobilenet-v3.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(num_scenes=2, size=(64, 64))
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.train_cfg.max_epochs = 1
    assert 'custom_imports' not in cfg
    (tmp_path / 'my_config.py').write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items()))
    (tmp_path / 'script.py').write_text(script)
    monkeypatch.chdir(tmp_path)
    ((status, printed),) = launch(runpy.run_path, 'script.py', {}, '__main__', processes=1)
    assert status == 0, printed
    assert 'mIoU' in printed
