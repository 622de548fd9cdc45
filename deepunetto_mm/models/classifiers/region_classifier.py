"""A classifier of regions whose masks are there already."""

from typing import Any, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData, PixelData
from mmpretrain.models import ImageClassifier
from mmseg.structures import SegDataSample
from torch import Tensor

from deepunetto_mm.models.heads.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.models.regions.composing import compose_labels, write_names
from deepunetto_mm.models.regions.frames import pad_region_map, to_input_frame
from deepunetto_mm.models.regions.sampling import draw_regions, ground_truth_regions
from deepunetto_mm.ops import PADDING_ID, run_on_crops
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy


@MODELS.register_module()
class RegionClassifier(ImageClassifier):
    """mmpretrain's ``ImageClassifier`` behind a crop along given masks: it names regions, any number a picture.

    ::

        picture ─▶ crop_neck ─▶ backbone ─▶ neck ─▶ head       crop_neck.picture: each region is looked at by itself
        picture ─▶ backbone ─▶ neck ─▶ crop_neck ─▶ head       crop_neck.in_index: the picture once, regions on its maps
             regions, region map ──────────▲

    The masks are the data samples', in training and in test, as ``PackRegionInputs`` packs them; there is no
    segmentation. Their groups count as certain: guidance ``'soft'`` is then the same as ``'hard'``. The predictions
    have the fields of :class:`DeepUNetto`'s, with the given masks as segmentation, and are scored and drawn likewise.
    Checkpoints carry the taxonomy.

    Args:
        taxonomy: The taxonomy's dict; the head gets it too.
        crop_neck: Config of :class:`MaskGuidedRoICrop`, of the picture or of maps of the neck (without one, of the
            backbone). Several maps are cropped to one size and concatenated.
        backbone, neck: As in mmpretrain.
        head: Config of a fine head: :class:`FineGrainedHead`, or :class:`FineClsHead` around one of mmpretrain's.
        max_regions: In training at most so many regions of a batch, drawn at random; None for all.
        crops_per_pass: In test so many crops at once go through the network, or through its head.
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
        taxonomy = Taxonomy.from_dict(taxonomy)
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=MODELS.build({'taxonomy': taxonomy, **head}),
            # Built here: mmpretrain's own would leave regions on the CPU.
            data_preprocessor=MODELS.build({'type': 'mmseg.SegDataPreProcessor', **(data_preprocessor or {})}),
            init_cfg=init_cfg,
        )
        self.taxonomy = taxonomy
        self.taxonomy_stamp = TaxonomyStamp(taxonomy)
        self.crop_neck = MODELS.build(crop_neck)
        if self.crop_neck.picture and self.crop_neck.in_index:
            raise ValueError(
                'crops are either seen by the backbone or cut out of its maps: set crop_neck.picture=False, or '
                'crop_neck.in_index=()'
            )
        self.max_regions = max_regions
        self.crops_per_pass = crops_per_pass

    def forward(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None, mode: str = 'tensor') -> Any:
        """As in mmengine's models. Mode ``tensor``: logits (R, K) of the regions, in the frame of the inputs."""
        if data_samples is None:
            raise ValueError('RegionClassifier names the regions of data samples; without them there is none')
        if mode == 'tensor':
            return self.head(self.region_feats(inputs, *self._given(inputs, data_samples)))
        return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the head.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_regions`` and ``gt_region_map``, in the frame of the inputs.
        """
        regions, maps = self._given(inputs, data_samples)
        regions = draw_regions(regions, self.max_regions)
        labels, fine_labels = (torch.cat([region[key] for region in regions]) for key in ('labels', 'fine_labels'))
        return self.head.loss(self.region_feats(inputs, regions, maps), labels, fine_labels)

    def predict(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> list[SegDataSample]:
        """Name the regions.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_sem_seg``, ``gt_regions`` and ``gt_region_map`` in the frame of the original
                pictures, and the meta information that says how each became the input.

        Returns:
            The data samples with ``pred_regions``, named, and with the given maps as ``pred_region_map`` and
            ``pred_sem_seg``, and ``pred_fine_seg``.
        """
        assert data_samples is not None, 'forward has asked for them'
        regions = [ground_truth_regions(sample, len(self.taxonomy.groups)) for sample in data_samples]
        maps = [sample.gt_region_map.data[0] for sample in data_samples]
        frames = [
            to_input_frame(*item, inputs.shape[2:]) for item in zip(regions, maps, (s.metainfo for s in data_samples))
        ]
        crops = self._crop(inputs, [frame[0] for frame in frames], torch.stack([frame[1] for frame in frames]))
        labels, group_probs = (torch.cat([region[key] for region in regions]) for key in ('labels', 'group_probs'))
        batches = zip(*(x.split(self.crops_per_pass) for x in (crops, labels, group_probs)))
        scores = torch.cat([self.head.predict(self._look(crop), *given) for crop, *given in batches])
        for sample, region, own in zip(data_samples, regions, scores.split([len(region) for region in regions])):
            self._write(sample, region, own)
        return data_samples

    def region_feats(self, inputs: Tensor, regions: Sequence[InstanceData], maps: Tensor) -> Sequence[Tensor]:
        """What the head reads of the R regions of a batch, given in the frame of the inputs."""
        return self._look(self._crop(inputs, regions, maps))

    def _crop(self, inputs: Tensor, regions: Sequence[InstanceData], maps: Tensor) -> Tensor:
        certain = inputs.new_ones(1).expand(len(inputs), len(self.taxonomy.groups), *maps.shape[1:])
        feats = self.extract_feat(inputs) if self.crop_neck.in_index else None
        return self.crop_neck(regions, maps, inputs, feats, certain)

    def _look(self, crops: Tensor) -> Sequence[Tensor]:
        return [crops] if self.crop_neck.in_index else run_on_crops(self.extract_feat, crops, self)

    def _given(self, inputs: Tensor, data_samples: list[SegDataSample]) -> tuple[list[InstanceData], Tensor]:
        maps = [pad_region_map(sample.gt_region_map.data[0], inputs.shape[2:]) for sample in data_samples]
        return [sample.gt_regions for sample in data_samples], torch.stack(maps)

    def _write(self, sample: SegDataSample, regions: InstanceData, scores: Tensor) -> None:
        label_map, region_map = sample.gt_sem_seg.data[0].long(), sample.gt_region_map.data[0]
        region_map = region_map.masked_fill(region_map == PADDING_ID, 0)
        ignored = label_map == self.taxonomy.ignore_index
        known = label_map.masked_fill(ignored, 0)
        # Not a comparison of every pixel with every id: thousands of regions of a large picture would fill the memory.
        counts = torch.bincount(region_map.flatten().long(), minlength=1 + max(regions.ids.tolist(), default=0))
        regions.areas = counts[regions.ids]
        write_names(regions, scores, self.taxonomy)
        certain = F.one_hot(known, len(self.taxonomy.classes)).permute(2, 0, 1).float()
        composed = compose_labels(known, certain, region_map, regions, self.taxonomy)
        sample.set_data(
            dict(
                pred_regions=regions,
                pred_region_map=PixelData(data=region_map[None]),
                pred_sem_seg=PixelData(data=label_map[None]),
                pred_fine_seg=PixelData(data=composed.masked_fill(ignored, self.taxonomy.ignore_index)[None]),
            )
        )
