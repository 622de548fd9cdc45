"""Who may import whom, read from the sources: the folders meet in the data sample and not in each other."""

import ast
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = 'deepunetto_mm'

_GROUND = {'registry', 'utils', 'ops', 'structures'}
_PARTS = {f'models/{part}' for part in ('backbones', 'decode_heads', 'dense_heads', 'regions', 'fine', 'losses')}
# Folder of the package -> what it may import besides itself. A folder that is not listed may not exist.
ALLOWED = {
    '': {'version'},
    'registry': set(),
    'version': set(),
    'utils': set(),
    'structures': set(),
    'ops': {'utils'},
    'runtime': {'structures', 'utils'},  # without torch and the stack
    **dict.fromkeys(_PARTS, _GROUND),
    'models': _PARTS | {'models/segmentors'},
    'models/heads': {'models/fine'},  # this and the next one: names of before
    'models/necks': {'models/fine'},
    'models/segmentors': _GROUND | {'models/backbones', 'models/dense_heads', 'models/fine'},
    'models/classifiers': _GROUND | {'models/fine'},
    'datasets': _GROUND,
    'evaluation': _GROUND,
    'visualization': _GROUND,
    'engine': _GROUND | {'guards', 'visualization'},
    'guards': {'registry', 'utils'},
    'cli': {'utils'},
    # Side stories: each in one room, on top of what it is made of.
    'threshold_masks': _GROUND | {'datasets', 'version', 'visualization'},
    'unet2015': _GROUND | {'evaluation', 'models/decode_heads'},
    'verification': _GROUND | {'datasets'},
    'annotations': _GROUND | {'datasets', 'threshold_masks'},
    'planning': _GROUND | {'annotations', 'guards', 'verification', 'visualization'},
    'apis': _GROUND | {'datasets', 'guards', 'runtime', 'visualization'},
    'deployment': _GROUND
    | {'apis', 'datasets', 'models/fine', 'models/regions', 'models/segmentors', 'runtime', 'version'},
    'web': _GROUND | {'annotations', 'apis', 'datasets', 'evaluation', 'runtime', 'visualization'},
    'demo': _GROUND | {'apis', 'cli', 'datasets', 'guards', 'web'},
    'tools': _GROUND
    | {'annotations', 'apis', 'cli', 'datasets', 'deployment', 'engine', 'evaluation', 'guards', 'planning', 'runtime'}
    | {'threshold_masks', 'verification', 'version', 'visualization'},
}

SOURCES = sorted(path for folder in (PACKAGE, 'tools', 'demo') for path in (ROOT / folder).rglob('*.py'))
MODULES = {path.relative_to(ROOT).with_suffix('').as_posix().removesuffix('/__init__') for path in SOURCES}


def _folder(module: str) -> str:
    """The key of ``ALLOWED`` for a module given as a path: ``deepunetto_mm/models/fine/x`` is in ``models/fine``."""
    parts = module.split('/')
    if parts[0] != PACKAGE:
        return parts[0]
    if parts[1:2] == ['models']:
        return '/'.join(parts[1:3])
    return ''.join(parts[1:2])


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'))


@cache
def _imports(path: Path) -> set[str]:
    """Dotted names that a file imports, relative imports made absolute."""
    names = set()
    package = path.relative_to(ROOT).parent.parts  # of x/y.py and x/__init__.py alike
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join([*base, *([node.module] if node.module else [])])
            # `from a import b` imports the module a.b if there is one, and else a name of a.
            for alias in node.names:
                inner = f'{module}.{alias.name}'
                names.add(inner if inner.replace('.', '/') in MODULES else module)
    return names


def _edges(path: Path) -> tuple[str, set[str]]:
    """The folder of a file, and the other folders that it imports."""
    folder = _folder(path.relative_to(ROOT).with_suffix('').as_posix().removesuffix('/__init__'))
    used = {_folder(name.replace('.', '/')) for name in _imports(path) if name.split('.')[0] == PACKAGE}
    return folder, used - {folder}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_sources_are_found():
    assert f'{PACKAGE}/structures/taxonomy' in MODULES
    assert 'tools/train' in MODULES


def test_resolves_imports_to_modules(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    monkeypatch.setitem(globals(), 'MODULES', {'deepunetto_mm/ops/boxes', 'deepunetto_mm/ops'})
    file = tmp_path / 'deepunetto_mm' / 'ops' / 'crop.py'
    file.parent.mkdir(parents=True)
    file.write_text(
        'import a.b\nfrom . import boxes\nfrom .boxes import f\nfrom ..registry import X\n'
        'from deepunetto_mm.ops import boxes, g'
    )
    assert _imports(file) == {'a.b', 'deepunetto_mm.ops.boxes', 'deepunetto_mm.registry', 'deepunetto_mm.ops'}
    assert _folder('deepunetto_mm/ops/boxes') == 'ops'
    assert _folder('deepunetto_mm/models/fine/x') == 'models/fine'
    assert _folder('deepunetto_mm') == ''
    assert _folder('tools/misc/x') == 'tools'


@pytest.mark.parametrize('path', SOURCES, ids=_relative)
def test_imports_go_one_way(path):
    folder, used = _edges(path)
    assert folder in ALLOWED, f'{folder} is a new folder: say in ALLOWED what it may import'
    assert used <= ALLOWED[folder]


def test_nothing_is_allowed_that_nobody_needs():
    edges = {(folder, other) for folder, used in map(_edges, SOURCES) for other in used}
    allowed = {(folder, other) for folder, others in ALLOWED.items() for other in others - _GROUND}
    assert not allowed - edges


@pytest.mark.parametrize('path', SOURCES, ids=_relative)
def test_nothing_needs_compiled_operators(path):
    assert not [name for name in _imports(path) if name == 'mmcv.ops' or name.startswith('mmcv.ops.')]


@pytest.mark.parametrize('path', [path for path in SOURCES if path.parts[len(ROOT.parts)] == PACKAGE], ids=_relative)
def test_a_registered_class_has_a_file_of_its_name(path):
    registered = [
        node.name
        for node in _tree(path).body
        if isinstance(node, ast.ClassDef)
        and any('register_module' in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert [name.lower() for name in registered] in ([], [path.stem.replace('_', '')])


def test_init_files_only_reexport():
    for path in SOURCES:
        if path.name == '__init__.py':
            for node in _tree(path).body:
                is_doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__'
                assert is_doc or is_all or isinstance(node, ast.ImportFrom), f'{path}, line {node.lineno}'


# What takes seconds to import.
_HEAVY = (
    'matplotlib',
    'mmengine.model',
    'mmengine.runner',
    'mmpretrain.models',
    'mmseg.datasets',
    'mmseg.models',
    'sympy',
)
_START = """
import os, runpy, sys, torch
here = runpy.run_path(sys.argv[1])
for check in ('show_help', 'build_in_mmseg', 'build_in_mmpretrain'):  # each in a copy of this process
    if (copy := os.fork()) == 0:
        here[check]()
        os._exit(0)
    assert os.waitpid(copy, 0)[1] == 0, check
    import matplotlib.pyplot, mmengine.runner, scipy.optimize, torchvision  # as both stacks do; it takes longest
"""


def show_help():
    """Of all commands, in a process that has imported nothing of ours."""
    heavy = set(_HEAVY) - sys.modules.keys()  # without what torch itself imports
    for path in [path for path in SOURCES if path.parts[len(ROOT.parts)] != PACKAGE]:
        sys.argv = [str(path), '--help']
        with pytest.raises(SystemExit) as stopped, redirect_stdout(StringIO()):
            runpy.run_path(str(path), run_name='__main__')
        assert stopped.value.code == 0
        assert not sys.modules.keys() & heavy, path


def build_in_mmseg():
    """As by a config of mmseg that takes a part of ours."""
    _build_by_name('mmseg')


def build_in_mmpretrain():
    """Likewise of mmpretrain."""
    _build_by_name('mmpretrain')


def _build_by_name(stack: str) -> None:
    registry = import_module(f'{stack}.registry')
    assert not [name for name in sys.modules if name.startswith(PACKAGE)]
    DefaultScope.get_instance('test', scope_name=stack)
    decoder = dict(in_channels=[4, 8], strides=(1, 2), channels=(4,), num_classes=2)
    head = registry.MODELS.build(dict(type='deepunetto_mm.UNetDecoder', **decoder))
    assert type(head).__module__ == 'deepunetto_mm.models.decode_heads.unet_decoder'
    assert stack == 'mmpretrain' or 'mmpretrain.models' not in sys.modules
    for kind, names in dict(
        MODELS='DeepUNetto UNet2015Encoder RegionClassifier',
        DATASETS='RodConeShapes',
        TRANSFORMS='LoadRegions LoadThresholdAnnotations MirrorPad',
        METRICS='FineGrainedMetric ISBI2012Metric',
        VISUALIZERS='RegionVisualizer',
        VISBACKENDS='MLflowBackend',
        HOOKS='TaxonomyHook ReproducibleHook',
    ).items():
        for name in names.split():
            assert getattr(registry, kind).get(f'deepunetto_mm.{name}').__name__ == name, name


def test_types_are_found_by_their_prefix_and_nothing_is_imported_early():
    done = subprocess.run([sys.executable, '-c', _START, __file__], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
