"""Reading what annotation tools write, and writing it in the layout of ``CoarseFineDataset``."""

from .export import TOOLS, export_dataset, require_empty
from .recognise import FORMATS, read_annotations
from .scenes import Annotations, Outline, Scene
from .writer import write_dataset
from .written_dataset import WrittenDataset

__all__ = [
    'FORMATS',
    'TOOLS',
    'Annotations',
    'Outline',
    'Scene',
    'WrittenDataset',
    'export_dataset',
    'read_annotations',
    'require_empty',
    'write_dataset',
]
