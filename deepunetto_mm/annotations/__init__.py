"""Reading what annotation tools write, and writing it in the layout of ``CoarseFineDataset``."""

from .recognise import FORMATS, read_annotations
from .scenes import Annotations, Outline, Scene
from .writer import WrittenDataset, write_dataset

__all__ = ['FORMATS', 'Annotations', 'Outline', 'Scene', 'WrittenDataset', 'read_annotations', 'write_dataset']
