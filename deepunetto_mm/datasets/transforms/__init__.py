"""Data transforms: what pipelines of mmseg need for regions, centres and fine labels, masks made from brightness,
colours as cones see them or changed, the augmentation, mirrored border and pixel weights of the U-Net of 2015, and two
of mmseg's transforms in less time.
"""

from .add_centre_targets import AddCentreTargets
from .add_erythrocytes import AddErythrocytes
from .check_files import CheckFiles
from .chromatic_adaptation import ChromaticAdaptation
from .colour_shift import ColourShift
from .load_coco_annotations import LoadCocoAnnotations
from .load_composed_annotations import LoadComposedAnnotations
from .load_regions import LoadRegions
from .load_scaled_image import LoadScaledImage
from .pack_region_inputs import PackRegionInputs
from .photo_metric_distortion import PhotoMetricDistortion
from .random_crop import RandomCrop
from .random_shift import RandomShift
from .stain_shift import StainShift

__all__ = [
    'AddCentreTargets',
    'AddErythrocytes',
    'CheckFiles',
    'ChromaticAdaptation',
    'ColourShift',
    'LoadCocoAnnotations',
    'LoadComposedAnnotations',
    'LoadRegions',
    'LoadScaledImage',
    'PackRegionInputs',
    'PhotoMetricDistortion',
    'RandomCrop',
    'RandomShift',
    'StainShift',
]
