"""The U-Net of 2015 and the scores of ISBI 2012, the challenge of its paper. See docs/unet2015.md."""

from .add_border_weights import AddBorderWeights
from .elastic_deformation import ElasticDeformation
from .isbi2012_metric import ISBI2012Metric
from .mirror_pad import MirrorPad
from .unet2015_encoder import UNet2015Encoder
from .unet2015_head import UNet2015Head

__all__ = ['AddBorderWeights', 'ElasticDeformation', 'ISBI2012Metric', 'MirrorPad', 'UNet2015Encoder', 'UNet2015Head']
