"""The page on mixing: its script runs in a folder with nothing but a config in it."""

import re
import subprocess
import sys

from mmengine.config import Config


def test_the_script_trains_in_a_folder_of_its_own(repository, tmp_path):
    text = (repository / 'docs' / 'mixing.md').read_text(encoding='utf-8')
    (script,) = re.findall(r'```python\n(.*?)```', text, re.DOTALL)
    cfg = Config.fromfile(repository / 'projects' / 'unet_decoder' / 'unet_decoder_mobilenet-v3.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(num_scenes=2, size=(64, 64))
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.train_cfg.max_epochs = 1
    assert 'custom_imports' not in cfg
    (tmp_path / 'my_config.py').write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.to_dict().items()))
    done = subprocess.run([sys.executable, '-c', script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'mIoU' in done.stdout
