import re

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import save_checkpoint
from mmseg.registry import DATASETS, MODELS
from torch import nn

from deepunetto_mm.utils.errors import UsageError

COLOUR_RODS = """
_base_ = '{base}'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        in_channels=3,
        stem_channels=8,
        base_channels=8,
        strides=(2, 2, 2, 2),
        out_indices=(0, 1, 2, 3),
        style='pytorch',
    )
)
"""

DARKER = """
_base_ = '{base}'
_pipeline = [dict(type='deepunetto_mm.ColourShift', brightness=0.5), dict(type='deepunetto_mm.PackRegionInputs')]
test_dataloader = dict(dataset=dict(pipeline=_pipeline))
"""


@pytest.fixture
def tool(load_module):
    return load_module('tools/analysis_tools/robustness.py')


@pytest.fixture
def call(in_process, capsys, tmp_path):
    """Run the tool; the cells of the table's rows, the head without the line below it."""
    start = in_process('tools/analysis_tools/robustness.py')

    def run(*arguments):
        start(*arguments, '--work-dir', tmp_path / 'work')
        rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
        cells = [[cell.strip() for cell in row.split('|')[1:-1]] for row in rows]
        return [cells[0], *cells[2:]]

    return run


@pytest.fixture
def colour_config(config, tmp_path):
    path = tmp_path / 'colour_rods.py'
    path.write_text(COLOUR_RODS.format(base=config))
    return path


def _save(config, path):
    """A checkpoint of a network that has learnt nothing, but whose pixels get different classes."""
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    nn.init.normal_(model.decode_head.conv_seg.weight)
    scenes = DATASETS.build(cfg.train_dataloader.dataset)
    batch = model.data_preprocessor(dict(inputs=[scenes[i]['inputs'] for i in range(4)]))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of this batch
    with torch.no_grad():
        model.train().decode_head(model.extract_feat(batch['inputs']))
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(path))
    return path


@pytest.fixture
def checkpoint(config, mmseg_scope, tmp_path):
    return _save(config, tmp_path / 'iter_1.pth')


def test_the_unchanged_row_is_what_the_test_says(call, in_process, config, checkpoint, capsys, tmp_path):
    head, *rows = call(config, checkpoint, '--changes', 'brightness=0.5', '--metrics', 'mIoU', 'fine/found', 'x')
    assert head == ['', 'mIoU', 'fine/found', 'x']
    assert [row[0] for row in rows] == ['unchanged', 'brightness=0.5']
    assert [row[3] for row in rows] == ['–', '–']

    test = in_process('tools/test.py')

    def figures(path):
        test(path, checkpoint, '--work-dir', tmp_path / 'test')
        printed = capsys.readouterr().out
        return [re.search(rf'^  {name} +([\d.]+)$', printed, re.MULTILINE)[1] for name in ('mIoU', 'fine/found')]

    assert rows[0][1:3] == figures(config)
    darker = tmp_path / 'darker.py'
    darker.write_text(DARKER.format(base=config))
    assert rows[1][1:3] == figures(darker)
    assert rows[0][1] != rows[1][1]


def test_colour_is_nothing_to_luminance_rods(call, config, colour_config, checkpoint, mmseg_scope, tmp_path):
    changes = ('hue=90', 'saturation=0')
    pairs = (config, checkpoint, colour_config, _save(colour_config, tmp_path / 'colour_rods.pth'))
    head, *rows = call(*pairs, '--changes', *changes, '--metrics', 'aAcc', 'mIoU')
    assert head[1:] == ['tiny_config aAcc', 'tiny_config mIoU', 'colour_rods aAcc', 'colour_rods mIoU']
    assert [row[0] for row in rows] == ['unchanged', *changes]
    luminance, colour = (
        [[float(cell) for cell in row[columns]] for row in rows] for columns in (slice(1, 3), slice(3, 5))
    )
    for row in luminance[1:]:
        assert row == pytest.approx(luminance[0], abs=1)  # the luma was rounded
    assert max(abs(row[0] - colour[0][0]) for row in colour[1:]) > 5


def test_two_checkpoints_of_one_config_are_told_apart(call, config, checkpoint, tmp_path):
    other = _save(config, tmp_path / 'iter_2.pth')
    head, *rows = call(config, checkpoint, config, other, '--changes', 'hue=90', '--metrics', 'mIoU')
    assert head == ['', f'tiny_config {checkpoint} mIoU', f'tiny_config {other} mIoU']
    assert rows[0][1] != rows[0][2]


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        (['LoadImageFromFile', 'deepunetto_mm.ChromaticAdaptation', 'x'], 1),
        (['mmcv.LoadImageFromFile', 'LoadAnnotations'], 1),
        (['LoadAnnotations', 'LoadBiomedicalImageFromFile', 'x'], 2),
        (['deepunetto_mm.ChromaticAdaptation', 'deepunetto_mm.PackRegionInputs'], 0),
        ([], 0),
    ],
)
def test_the_light_changes_before_the_eye_adapts(tool, before, after):
    loader = ConfigDict(dataset=dict(type='x', pipeline=[dict(type=kind) for kind in before]))
    kinds = [step['type'] for step in tool.insert_change(loader, tool.parse_change('hue=3')).dataset.pipeline]
    assert kinds == [*before[:after], 'deepunetto_mm.ColourShift', *before[after:]]
    assert len(loader.dataset.pipeline) == len(before)  # the config stays


def test_red_cells_are_drawn_around_the_regions(tool):
    kinds = [
        'LoadImageFromFile',
        'deepunetto_mm.ChromaticAdaptation',
        'LoadAnnotations',
        'deepunetto_mm.LoadRegions',
        'x',
    ]
    loader = ConfigDict(dataset=dict(type='x', pipeline=[dict(type=kind) for kind in kinds]))
    changed = tool.insert_change(loader, tool.parse_change('erythrocytes=9')).dataset.pipeline
    assert [step['type'] for step in changed] == [*kinds[:4], 'deepunetto_mm.AddErythrocytes', 'x']
    assert changed[4]['number'] == 9


def test_changes_are_numbers_of_known_options(tool):
    colour = 'deepunetto_mm.ColourShift'
    assert tool.parse_change('hue=-30') == dict(type=colour, hue=-30)
    assert tool.parse_change('brightness=1e-1') == dict(type=colour, brightness=0.1)
    assert [tool.parse_change(change) for change in tool.CHANGES][3] == dict(type=colour, saturation=0.5)
    assert tool.parse_change('eosin=2') == dict(type='deepunetto_mm.StainShift', eosin=2)
    assert tool.parse_change('scale=2.5') == dict(type='Resize', scale_factor=2.5)
    assert tool.parse_change('blur=1') == dict(type='mmpretrain.GaussianBlur', radius=1, prob=1.0)
    for text in ('colour=3', 'hue', 'hue=', 'hue=red', '=3', 'hue=1=2'):
        with pytest.raises(UsageError, match=f'--changes takes OPTION=NUMBER, .*; got {text!r}'):
            tool.parse_change(text)
    for text in ('scale=0', 'scale=nan', 'blur=-1'):
        with pytest.raises(UsageError, match=f'must be above 0 and below 100, got {text!r}'):
            tool.parse_change(text)
    with pytest.raises(ValueError, match='saturation must be a factor of at least 0, got -1'):
        tool.parse_change('saturation=-1')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--changes', 'colour=3'), r'error: --changes takes .*; got .colour=3.$'),
        (('--changes', 'brightness=-2'), r'error: ColourShift: brightness must be a factor of at least 0, got -2\.0$'),
        (('other.py',), r'error: every config needs its checkpoint: CONFIG CHECKPOINT \.\.\., got .* other\.py$'),
        (('other.py', 'other.pth'), r"error: no config at 'other\.py'$"),
        (
            ('--cfg-options', 'test_dataloader.dataset.pipeline=None'),
            r'error: test_dataloader\.dataset, a .*, has no pipe',
        ),
    ],
)
def test_what_is_wrong_is_one_line(call, config, checkpoint, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        call(config, checkpoint, *options)
    assert stopped.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(message, last), last
