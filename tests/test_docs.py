"""What the documents name is there: files, commands, types."""

import re
from pathlib import Path

import pytest
from mmengine.registry import Registry

from deepunetto_mm import registry

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.md', 'docs/**/*.md', 'projects/**/*.md')
    for path in ROOT.glob(pattern)
)
# What the worked example tells the reader to write.
EXAMPLE = {
    'configs/deepunetto_shapes_hidden-layer.py',
    'deepunetto_mm/models/fine/hidden_layer_head.py',
    'tests/models/fine/test_hidden_layer_head.py',
    'HiddenLayerHead',
}
_PATH = r'(?<![\w/.-])(?:configs|deepunetto_mm|demo|docs|projects|requirements|tests|tools)/[\w./*-]*\w'

each_document = pytest.mark.parametrize('name', DOCUMENTS)


@pytest.fixture
def text(name):
    return (ROOT / name).read_text(encoding='utf-8')


def test_documents_are_found():
    assert {'README.md', 'CONTRIBUTING.md', 'docs/data_format.md'} <= set(DOCUMENTS)


@each_document
def test_links_lead_somewhere(name, text):
    links = [link for link in re.findall(r'\]\(([^)#]+)[^)]*\)', text) if '://' not in link]
    assert not [link for link in links if not (ROOT / name).parent.joinpath(link).exists()]


@each_document
def test_paths_exist(name, text):
    paths = set(re.findall(_PATH, text)) - EXAMPLE
    assert not [path for path in paths if not list(ROOT.glob(path))]


@each_document
def test_types_are_registered(name, text):
    registries = [value for value in vars(registry).values() if isinstance(value, Registry)]
    ours = [value for value in registries if value.scope == 'deepunetto_mm']
    types = set(re.findall(r'\bdeepunetto_mm\.([A-Z]\w+)', text)) - EXAMPLE - {'X'}
    assert not [kind for kind in types if not any(value.get(f'deepunetto_mm.{kind}') for value in ours)]


@each_document
def test_make_has_the_targets(name, text):
    targets = re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    assert set(re.findall(r'(?:`|^)make ([a-z-]+)', text, re.MULTILINE)) <= set(targets)


@each_document
def test_commands_have_their_options(name, text):
    shared = (ROOT / 'deepunetto_mm/cli/runtime.py').read_text(encoding='utf-8')
    commands = r'(?<![\w/])((?:tools|demo)/[\w/]+\.py)((?: [^\n`]*\\\n)*(?: [^\n`]*)?)'
    for tool, rest in re.findall(commands, text):
        source = (ROOT / tool).read_text(encoding='utf-8') + shared
        known = re.findall(r"'(?:--)?([a-z][a-z0-9-]*)'", source)  # some tools add the dashes in a loop
        options = re.findall(r'(?<![\w-])--([a-z][a-z0-9-]*)', re.sub(r' #.*', '', rest))
        assert set(options) <= set(known), f'{tool}{rest}'


def test_the_readme_names_options_that_the_tools_have():
    text = re.sub(r'^pip .*', '', (ROOT / 'README.md').read_text(encoding='utf-8'), flags=re.MULTILINE)
    sources = [*ROOT.glob('tools/**/*.py'), ROOT / 'deepunetto_mm/cli/runtime.py']
    known = set(re.findall(r"'(--[a-z-]+)'", ''.join(path.read_text(encoding='utf-8') for path in sources)))
    assert set(re.findall(r'(?<![\w-])--[a-z][a-z-]+\b(?!_)', text)) <= known


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text(encoding='utf-8').splitlines()) < 120
