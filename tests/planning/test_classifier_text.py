import pytest

from deepunetto_mm.annotations import WrittenDataset
from deepunetto_mm.planning.budget import fit_to_steps, in_bfloat16
from deepunetto_mm.planning.classifier_text import classifier_text
from deepunetto_mm.planning.decisions import decide
from deepunetto_mm.planning.fingerprint import Fingerprint, Machine
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.shipped_configs import read_config

TAXONOMY = Taxonomy.from_dict(
    dict(
        classes=['background', 'fruit'],
        groups=[dict(name='fruit', members=['fruit'], fine_classes=['apple', 'pear', 'plum'])],
    )
)
DATA = Fingerprint(40, (64, 48), [(64, 48), (64, 48)], True, 8, 0, 255, classes=dict(background=0.0, fruit=1.0))
MACHINE = Machine(cores=2, memory=16, gpu='', gpu_memory=0, torch='2')


@pytest.mark.parametrize(('encoder', 'channels'), [('efficientnet-lite0', 1280), ('scratch', 256)])
def test_the_file_is_what_was_decided(tmp_path, encoder, channels):
    dataset = WrittenDataset(tmp_path, TAXONOMY, '.png', whole=True, with_table=True)
    chosen = in_bfloat16(
        fit_to_steps(decide(DATA, MACHINE, TAXONOMY, 32, encoder, any_way_up=True, whole=True), 1000), 'quicker'
    )
    (tmp_path / 'mine.py').write_text(classifier_text('Fruit.', dataset, DATA, chosen, 7, 3, 'they fit', 4))
    cfg = read_config(tmp_path / 'mine.py')
    assert (cfg.model.head.num_classes, cfg.model.head.in_channels) == (3, channels)
    assert cfg.train_cfg.max_epochs == 7
    assert cfg.train_dataloader.batch_size == 8  # a quarter of 32
    assert cfg.train_dataloader.dataset.mask_files is False
    kinds = [transform.type.rpartition('.')[2] for transform in cfg.train_pipeline]
    assert kinds == [
        'LoadImageFromFile',
        'RandomResizedCrop',
        'RandomFlip',
        'RandomRotate',
        'ColorJitter',
        'PackInputs',
    ]
    # The shorter side, 48, becomes 96, at least, and crops 32 * round(96 / sqrt(2) / 32) = 64.
    assert cfg.train_pipeline[1].scale == 64
    assert cfg.test_pipeline[1].scale == 96
    assert cfg.test_evaluator[0].type == 'deepunetto_mm.PictureAccuracy'
    assert cfg.default_hooks.bfloat16 == dict(type='deepunetto_mm.BFloat16Hook')
    assert cfg.default_hooks.checkpoint.interval == 1  # beside its own; 7 in all
    assert cfg.test_dataloader == cfg.val_dataloader
    text = classifier_text('Fruit.', dataset, DATA, chosen, 7, 3, 'they fit', 4, with_test=True)
    (tmp_path / 'mine.py').write_text(text)
    cfg = read_config(tmp_path / 'mine.py')
    assert (cfg.val_dataloader.dataset.ann_file, cfg.test_dataloader.dataset.ann_file) == ('val.txt', 'test.txt')
    assert cfg.test_dataloader.dataset.pipeline == cfg.val_dataloader.dataset.pipeline
