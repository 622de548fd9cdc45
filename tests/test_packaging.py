"""What pip installs is whole: it trains and tests in an empty folder, by a config that inherits from the package."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('configs', 'deepunetto_mm', 'demo', 'docs', 'projects', 'requirements', 'tests', 'tools')
MIM = 'deepunetto_mm/.mim'

# In one process: to import the stack takes longer than all else.
USE = """
import runpy, sys
import deepunetto_mm, mmengine.utils
print('found', deepunetto_mm.__file__, mmengine.utils.get_installed_path('deepunetto_mm'))
_, tools = sys.argv
for tool, *arguments in (('train.py', 'my_config.py'), ('test.py', 'my_config.py', 'work_dirs/my_config')):
    print('==', tool)
    sys.argv = [f'{tools}/{tool}', *arguments]
    runpy.run_path(sys.argv[0], run_name='__main__')
"""

CONFIG = """
_base_ = 'deepunetto_mm::deepunetto_shapes.py'
model = dict(data_preprocessor=dict(size=(64, 64)))
_loader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(num_scenes=4, size=(64, 64)))
train_dataloader = val_dataloader = test_dataloader = _loader
train_cfg = dict(max_epochs=1)
"""


def _copy_sources(folder):
    """The source tree without what git ignores, so that nothing is left over in the original."""
    ignored = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info', '.*_cache')
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith('.'):
            shutil.copy2(path, folder)
    return folder


def _run(*command, cwd):
    # Neither this source tree nor a user's own packages.
    environment = {key: value for key, value in os.environ.items() if not key.startswith('PYTHON')}
    environment.update(OMP_NUM_THREADS='1', PYTHONNOUSERSITE='1', PYTHONDONTWRITEBYTECODE='1')
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _build(kind, source, out):
    code = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))'
    return out / _run(sys.executable, '-c', code, cwd=source).split()[-1]


def _contents(archive):
    """Names to bytes of a wheel's files, without those that describe it."""
    with zipfile.ZipFile(archive) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if '.dist-info/' not in name}


def _make_environment(folder, *install):
    """A virtual environment in which everything is there that is here, but for the package, which is installed.

    Folders that a .pth file names are searched, and their own .pth files are not read: an editable installation of the
    package here is none there.
    """
    venv.create(folder, symlinks=True)
    python = folder / 'bin' / 'python'
    site_packages = Path(sysconfig.get_path('purelib', 'posix_prefix', dict(base=str(folder))))
    ours = [path for path in sys.path if path.endswith(('site-packages', 'dist-packages'))]
    (site_packages / 'others.pth').write_text('\n'.join(ours))
    options = ['--no-deps', '--no-index', '--no-build-isolation', '--no-compile', '--quiet']
    _run(sys.executable, '-m', 'pip', '--python', python, 'install', *options, *install, cwd=folder)
    return python, site_packages


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    folder = _copy_sources(tmp_path_factory.mktemp('source'))
    # What lies about where somebody works: compiled files, notes, and the links of an editable installation.
    for name in ('configs', 'tools', 'deepunetto_mm'):
        (folder / name / '__pycache__').mkdir()
        (folder / name / '__pycache__' / 'left.cpython-311.pyc').write_bytes(b'over')
    (folder / 'configs' / 'notes.txt').write_text('left over')
    (folder / MIM).mkdir()
    (folder / MIM / 'configs').symlink_to('../../configs')
    # And the build of an earlier version, with a config that is gone since.
    (folder / 'build' / 'lib' / MIM / 'configs').mkdir(parents=True)
    (folder / 'build' / 'lib' / MIM / 'configs' / 'gone.py').write_text('left = over')
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    return _build('wheel', source, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def sdist(source, tmp_path_factory):
    return _build('sdist', source, tmp_path_factory.mktemp('sdist'))


def test_the_wheel_holds_the_package_and_its_configs_and_tools(wheel, source):
    expected = {
        path.relative_to(ROOT).as_posix(): path
        for path in [
            *(ROOT / 'deepunetto_mm').rglob('*.py'),
            *(ROOT / 'deepunetto_mm' / 'zoo').iterdir(),
            ROOT / 'deepunetto_mm' / 'web' / 'page.html',
        ]
        if '.mim' not in path.parts
    }
    for pattern in ('configs/**/*.py', 'configs/metafiles/*.yml', 'tools/**/*.py', 'tools/**/*.sh', 'model-index.yml'):
        expected |= {f'{MIM}/{path.relative_to(ROOT).as_posix()}': path for path in ROOT.glob(pattern)}
    expected.pop(f'{MIM}/tools/misc/make_venv.sh')  # sets up the source tree
    contents = _contents(wheel)
    assert set(contents) == set(expected)
    assert {name for name, path in expected.items() if path.read_bytes() != contents[name]} == set()
    assert not [name for name, content in contents.items() if str(source).encode() in content]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.getinfo(f'{MIM}/tools/dist_train.sh').external_attr >> 16 & 0o111
        (top_level,) = [name for name in archive.namelist() if name.endswith('top_level.txt')]
        assert archive.read(top_level).split() == [b'deepunetto_mm']


def test_the_source_distribution_holds_all_and_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    files = {path.relative_to(folder) for path in folder.rglob('*') if path.is_file()}
    clean = _copy_sources(tmp_path / 'clean')
    expected = {path.relative_to(clean) for path in clean.rglob('*') if path.is_file()}
    assert expected - files == set()
    assert {path.parts[0] for path in files - expected} == {'PKG-INFO', 'setup.cfg', 'deepunetto_mm.egg-info'}
    assert _contents(_build('wheel', folder, tmp_path)) == _contents(wheel)


def test_the_installed_wheel_trains_and_tests_in_an_empty_folder(wheel, tmp_path):
    python, site_packages = _make_environment(tmp_path / 'environment', wheel)
    installed = site_packages / 'deepunetto_mm'
    empty = tmp_path / 'empty'
    empty.mkdir()
    (empty / 'my_config.py').write_text(CONFIG)
    before, _, tested = _run(python, '-c', USE, installed / '.mim' / 'tools', cwd=empty).split('\n== ')
    assert before.endswith(f'found {installed / "__init__.py"} {installed}')
    assert (empty / 'work_dirs' / 'my_config' / 'last_checkpoint').is_file()
    assert 'fine/recognition' in tested
    assert {path.name for path in empty.iterdir()} == {'my_config.py', 'work_dirs'}


def test_an_editable_installation_inherits_from_the_source_tree(tmp_path):
    source = _copy_sources(tmp_path / 'source')
    python, _ = _make_environment(tmp_path / 'environment', '--editable', source)
    assert (source / MIM / 'tools' / 'train.py').samefile(source / 'tools' / 'train.py')
    assert (source / MIM / 'model-index.yml').samefile(source / 'model-index.yml')
    (tmp_path / 'my_config.py').write_text(CONFIG)
    # A config that comes later is there at once.
    (source / 'configs' / 'later.py').write_text("_base_ = './deepunetto_shapes_rgb-rods.py'")
    code = (
        'from deepunetto_mm.utils.shipped_configs import read_config as r\n'
        'print(r("my_config.py").train_cfg.max_epochs, r("deepunetto_mm::later.py").model.backbone.in_channels)'
    )
    assert _run(python, '-c', code, cwd=tmp_path).split()[-2:] == ['1', '3']
