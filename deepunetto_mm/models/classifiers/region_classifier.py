"""A classifier of regions whose masks are there already."""

from typing import Any, Optional, Sequence, Union

import torch
from mmengine.model import ModuleDict
from mmengine.structures import PixelData
from mmpretrain.models import BaseClassifier
from mmpretrain.registry import MODELS as CLASSIFIER_PARTS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.fine.composing import write_predictions
from deepunetto_mm.models.fine.fine_branch import FineBranch, move_parameters
from deepunetto_mm.models.fine.sampling import ground_truth_regions
from deepunetto_mm.models.fine.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.ops import without_padding
from deepunetto_mm.ops.mixed_sizes import predict_by_size
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.frames import given_regions
from deepunetto_mm.structures.maps import Maps, View


@MODELS.register_module()
class RegionClassifier(BaseClassifier):
    """An image classifier of mmpretrain behind a crop along given masks: it names regions, any number in a picture.

    ::

        picture ─▶ crop_neck ─▶ backbone ─▶ neck ─▶ head       crop_neck.picture: each region is looked at by itself
        picture ─▶ backbone ─▶ neck ─▶ crop_neck ─▶ head       crop_neck.in_index: the picture once, regions on its maps
             regions, region map ──────────▲

    The masks are the data samples', in training and in test, as ``PackRegionInputs`` packs them; there is no
    segmentation. Their groups count as certain: guidance ``'soft'`` is then the same as ``'hard'``. The predictions
    have the fields of :class:`DeepUNetto`'s, with the given masks as segmentation, and are scored and drawn alike.
    Checkpoints carry the taxonomy. Crops go through the same :class:`FineBranch` as :class:`DeepUNetto`'s.

    Args:
        taxonomy: The taxonomy's dict; the head gets it too.
        crop_neck: Config of :class:`MaskGuidedRoICrop`, of the picture or of maps of the neck (without one, of the
            backbone). Several maps are cropped to one size and concatenated.
        backbone, neck: As in mmpretrain.
        head: Config of a fine head: :class:`FineGrainedHead`, or :class:`FineClsHead` around one of mmpretrain's.
        max_regions, crops_per_pass: As in :class:`FineBranch`.
        data_preprocessor: As in mmseg, whose ``SegDataPreProcessor`` it is by default.

    Raises:
        ValueError: If both picture and feature maps are to be cropped.
    """

    def __init__(
        self,
        taxonomy: Union[dict, Taxonomy],
        crop_neck: dict,
        backbone: dict,
        head: dict,
        neck: Optional[dict] = None,
        max_regions: Optional[int] = None,
        crops_per_pass: int = 256,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        # Built here: mmpretrain's own would leave regions on the CPU.
        preprocessor = MODELS.build({'type': 'mmseg.SegDataPreProcessor', **(data_preprocessor or {})})
        super().__init__(init_cfg, preprocessor)
        self.taxonomy = Taxonomy.from_dict(taxonomy)
        parts = [CLASSIFIER_PARTS.build(part) for part in (backbone, neck) if part is not None]
        names = ('backbone', 'neck')[: len(parts)]
        features = _Features(dict(zip(names, parts)))
        head = MODELS.build({'taxonomy': self.taxonomy, **head})
        self.taxonomy_stamp = TaxonomyStamp(self.taxonomy)
        crop: Any = MODELS.build(crop_neck)
        if crop.picture and crop.in_index:
            raise ValueError(
                'crops are either seen by the backbone or cut out of its maps: set crop_neck.picture=False, or '
                'crop_neck.in_index=()'
            )
        self.features = features if crop.in_index else None
        self.fine_branch = FineBranch(
            self.taxonomy,
            crop,
            head,
            None if crop.in_index else features,
            max_regions=max_regions,
            crops_per_pass=crops_per_pass,
        )
        where = 'features.' if crop.in_index else 'fine_branch.fine_backbone.'
        self._moved = {'head.': 'fine_branch.fine_head.', **{f'{name}.': f'{where}{name}.' for name in names}}

    crop_neck = property(lambda self: self.fine_branch.crop_neck, doc='Cuts regions out of pictures or feature maps.')
    head = property(lambda self: self.fine_branch.fine_head, doc='Names the regions.')
    backbone = property(lambda self: self._looks['backbone'], doc='Looks at crops, or at pictures.')

    @property
    def neck(self) -> Optional[nn.Module]:
        """What follows the backbone, if anything."""
        return dict(self._looks).get('neck')

    @property
    def _looks(self) -> nn.ModuleDict:
        return self.fine_branch.fine_backbone if self.features is None else self.features

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        move_parameters(state_dict, prefix, self._moved)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Feature maps of backbone and neck, of crops or pictures (N, 3, H, W)."""
        return self._looks(inputs)

    def forward(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None, mode: str = 'tensor') -> Any:
        """As in mmengine's models. Mode ``tensor``: logits (R, K) of the regions, in the frame of the inputs."""
        if data_samples is None:
            raise ValueError('RegionClassifier names the regions of data samples, and got no data samples')
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode != 'tensor':
            raise RuntimeError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")
        return self.fine_branch(self._view(inputs), *given_regions(data_samples, inputs.shape[2:]))

    def test_step(self, data: Any) -> list[SegDataSample]:
        """As mmengine's, but a batch may have pictures of several sizes."""
        return predict_by_size(super().test_step, data)

    def val_step(self, data: Any) -> list[SegDataSample]:
        """As :meth:`test_step`."""
        return self.test_step(data)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the head.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_regions`` and ``gt_region_map``, in the frame of the inputs.
        """
        return self.fine_branch.loss(self._view(inputs), data_samples)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample]) -> list[SegDataSample]:
        """Name the regions.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_sem_seg``, ``gt_regions`` and ``gt_region_map`` in the frame of the original
                pictures, and the meta information that says how each became the input.

        Returns:
            The data samples with ``pred_regions``, named, and with the given maps as ``pred_region_map`` and
            ``pred_sem_seg``, and ``pred_fine_seg``.
        """
        regions = [ground_truth_regions(sample, len(self.taxonomy.groups)) for sample in data_samples]
        region_maps = [sample.gt_region_map.data[0] for sample in data_samples]
        views = [(self._view(inputs), data_samples)]
        scores = self.fine_branch.predict(views, regions, region_maps, [])
        for sample, region, region_map, own in zip(data_samples, regions, region_maps, scores):
            self._write(sample, region, without_padding(region_map), own)
        return data_samples

    def _view(self, inputs: Tensor) -> View:
        certain = inputs.new_ones(1).expand(len(inputs), len(self.taxonomy.groups), *inputs.shape[2:])
        maps = Maps.known(self.taxonomy, group_probs=certain)
        return View(inputs, None if self.features is None else self.features(inputs), maps)

    def _write(self, sample: SegDataSample, regions: Any, region_map: Tensor, scores: Tensor) -> None:
        label_map = sample.gt_sem_seg.data.long()
        ignored = label_map == self.taxonomy.ignore_index
        # Not a comparison of every pixel with every id: thousands of regions of a large picture would fill the memory.
        counts = torch.bincount(region_map.flatten().long(), minlength=1 + max(regions.ids.tolist(), default=0))
        regions.areas = counts[regions.ids]
        known = label_map.masked_fill(ignored, 0)
        # Of a group's pixel outside of every region no stuff is more probable than another: it gets the first.
        first = 0 if -1 in self.taxonomy.group_of_class else self.taxonomy.composed_ignore_index
        outside = known.new_tensor(self.taxonomy.outside_of_class)[known]
        maps = Maps.known(self.taxonomy, labels=known, outside=outside.masked_fill_(outside < 0, first))
        write_predictions(sample, regions, region_map, scores, maps)
        sample.pred_fine_seg.data.masked_fill_(ignored, self.taxonomy.composed_ignore_index)
        sample.set_data(dict(pred_sem_seg=PixelData(data=label_map)))


class _Features(ModuleDict):  # mmengine's, which initialises its parts
    """A backbone, and a neck if there is one, one after the other."""

    def forward(self, inputs: Tensor) -> Sequence[Tensor]:
        """Feature maps of crops or pictures (N, 3, H, W)."""
        x: Any = inputs
        for part in self.values():
            x = part(x)
        return x
