"""The model index lists every config once, with figures that the documents have, or none."""

import re
from pathlib import Path

import pytest
import yaml
from modelindex import load

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / 'model-index.yml'
METAFILES = sorted((ROOT / 'configs' / 'metafiles').glob('*.yml'))
DOCUMENTS = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


def _models():
    # As text: 82.20 is what the document says, and not 82.2.
    return [model for path in METAFILES for model in yaml.load(path.read_text(), yaml.BaseLoader)['Models']]


def _sections(texts):
    """Documents cut at their headings; lines that begin with a hash inside of code are no headings."""
    for text in texts:
        plain = re.sub(r'^```.*?^```', lambda code: code[0].replace('#', ' '), text, flags=re.DOTALL | re.MULTILINE)
        yield from re.split(r'^#+ ', plain, flags=re.MULTILINE)


def _undocumented(models, texts):
    """(name, figure) of what no section says that names the config."""
    sections = list(_sections(texts))
    return [
        (model['Name'], figure)
        for model in models
        for result in model.get('Results', [])
        for figure in result['Metrics'].values()
        if not any(
            re.search(rf'(?<![\w-]){re.escape(model["Name"])}\.py', section)
            and re.search(rf'(?<![\d.]){re.escape(figure)}(?![\d.]*\d)', section)
            for section in sections
        )
    ]


def test_is_valid():
    index = load(str(INDEX))
    assert index.check(silent=True) == []
    assert {collection.name for collection in index.collections} == {'DeepUNetto', 'U-Net'}
    assert len(index.models) == len(_models())
    assert {path.relative_to(ROOT).as_posix() for path in METAFILES} == set(yaml.safe_load(INDEX.read_text())['Import'])


def test_every_config_is_listed_once():
    listed = [model['Config'] for model in _models()]
    assert sorted(listed) == sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').glob('*.py'))
    assert [model['Name'] for model in _models()] == [Path(path).stem for path in listed]


def test_models_with_figures_say_how_they_were_made():
    wanted = {'Training Data', 'Licence of Data', 'Command', 'Seed', 'Parameters', 'FLOPs'}
    for model in _models():
        if 'Results' in model:
            name, made = model['Name'], model['Metadata']
            assert wanted - made.keys() == set(), name
            assert made['Command'] == 'make train' or f' {model["Config"]} ' in made['Command'], name
            assert made['Seed'].isdecimal(), name
            assert re.fullmatch(r'\d+\.\dM', made['Parameters']), name  # tests/test_configs.py counts them
            assert re.fullmatch(r'\d+\.\dG', made['FLOPs']), name


def test_figures_are_those_of_the_documents():
    assert any('Results' in model for model in _models())
    assert _undocumented(_models(), [path.read_text(encoding='utf-8') for path in DOCUMENTS]) == []


@pytest.mark.parametrize(
    ('figure', 'section', 'documented'),
    [
        ('94.83', '`unet_cells.py` has 94.83.', True),
        ('94.83', '| `configs/unet_cells.py` | **94.83** (55 of 58) |', True),
        ('94.83', '`deepunetto_cells.py` has 94.83, and `unet_cells_small.py`', False),
        ('94.83', '`unet_cells.py` has 194.83, 94.831 and 4.83', False),
        ('94.83', '`unet_cells.py` is one thing.\n## Another\n94.83', False),
        ('94.83', '```sh\n# a comment\ntrain unet_cells.py\n```\n94.83', True),
    ],
)
def test_a_figure_must_stand_where_the_config_does(figure, section, documented):
    models = [dict(Name='unet_cells', Results=[dict(Metrics=dict(mIoU=figure))])]
    assert _undocumented(models, [section]) == ([] if documented else [('unet_cells', figure)])


def test_metrics_are_called_what_the_tools_print():
    sources = (path for room in ('evaluation', 'unet2015') for path in (ROOT / 'deepunetto_mm' / room).rglob('*.py'))
    ours = {
        name for path in sources for name in re.findall(r"['`]([a-z]\w+/\w+)['`]", path.read_text(encoding='utf-8'))
    }
    used = {name for model in _models() for result in model.get('Results', []) for name in result['Metrics']}
    assert used <= ours | {'mIoU', 'mAcc', 'aAcc'}
