"""The fine branch: regions in, names out."""

from typing import Any, Callable, Iterator, Mapping, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from deepunetto_mm.models.fine.crop_neck import CropNeck
from deepunetto_mm.models.fine.sampling import chunk_regions, draw_regions, name_by_match
from deepunetto_mm.models.fine.segmentation_names import SegmentationNames
from deepunetto_mm.ops import jitter_boxes, row_strips, run_on_crops
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.frames import given_regions, replace_fields, to_input_frame
from deepunetto_mm.structures.maps import Maps, View

TRAINING_REGIONS = ('gt', 'pred', 'mixed')
Prepare = Callable[[list[Tensor]], Tensor]  # windows (3, h, w) of a picture to a batch (N, 3, h, w) for the network
Propose = Callable[[Maps], tuple[list[InstanceData], Tensor]]


class FineBranch(BaseModule):
    """Crop regions by their masks, look at the crops, and name the specific class of each.

    ::

        view: inputs, feats, maps ──▶ crop_neck ─▶ crops ─▶ fine_backbone "cones" ─▶ fine_head ─▶ scores
             regions, region maps ───────▲

    It is used by :class:`DeepUNetto` and by :class:`RegionClassifier`. Its contract with its parts:

    - ``crop_neck`` is a :class:`CropNeck`: regions in, crops (R, C, h, w) out.
    - ``fine_backbone(crops)`` gives a sequence of feature maps, as any backbone of mmpretrain does.
    - ``fine_head`` is a :class:`FineHead`.

    All of them are called with R = 0 too.

    Args:
        taxonomy: The taxonomy.
        crop_neck, fine_head: Configs, or modules. The config of the head gets the taxonomy.
        fine_backbone: Config or module; None if the head reads the crops as they are.
        regions: What is trained on: ``'gt'``; ``'pred'``, regions of the current prediction, named by the ground-truth
            region that they match at IoU > 0.5; or ``'mixed'``, either, by a fair coin for each picture.
        box_jitter: Largest shift of a side of a ground-truth box in training, as a fraction of its size.
        max_regions: At most this number of regions of a batch is trained on (:func:`draw_regions`); None for all.
        crops_per_pass: At most this number of regions is cropped and named at once in a test.
        pixel_names: A map of logits of the fine classes, such as ``'names.logits'``, for a second opinion: what the
            pixels of a region say (:class:`SegmentationNames`), of names in all groups if the head's condition is
            ``'flat'``. Scores of a region are then the normalised product of both.

    Raises:
        ValueError: If an option is out of range, or the crop neck lacks an attribute of a :class:`CropNeck`.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        crop_neck: Union[dict, nn.Module],
        fine_head: Union[dict, nn.Module],
        fine_backbone: Optional[Union[dict, nn.Module]] = None,
        regions: str = 'gt',
        box_jitter: float = 0.0,
        max_regions: Optional[int] = None,
        crops_per_pass: int = 256,
        pixel_names: Optional[str] = None,
    ) -> None:
        super().__init__()
        if regions not in TRAINING_REGIONS:
            raise ValueError(f'train_cfg.regions must be one of {TRAINING_REGIONS}, got {regions!r}')
        if not 0 <= box_jitter < 0.5:
            raise ValueError(
                f'train_cfg.box_jitter must be at least 0 and below 0.5, where boxes turn inside out, got {box_jitter}'
            )
        if crops_per_pass < 1 or (max_regions is not None and max_regions < 1):
            raise ValueError(
                'crops_per_pass must be at least 1, and max_regions too, or None for all; got '
                f'{crops_per_pass} and {max_regions}'
            )
        self.taxonomy = taxonomy
        self.regions = regions
        self.box_jitter = box_jitter
        self.max_regions = max_regions
        self.crops_per_pass = crops_per_pass
        self.crop_neck: CropNeck = _build(crop_neck)
        if missing := [name for name in ('needs_group_probs', 'in_index') if not hasattr(self.crop_neck, name)]:
            raise ValueError(
                f'the crop_neck {type(self.crop_neck).__name__} has no {" and no ".join(missing)}, see CropNeck'
            )
        self.fine_backbone: Any = None if fine_backbone is None else _build(fine_backbone)
        self.fine_head: Any = _build(fine_head, taxonomy=taxonomy)
        self.pixel_names = None
        if pixel_names is not None:
            condition = 'soft' if self.fine_head.condition == 'flat' else 'hard'
            self.pixel_names = SegmentationNames(taxonomy, pixel_names, condition)

    # ------------------------------------------------------------------------------------------------------- training
    def loss(self, view: View, data_samples: Sequence[SegDataSample], propose: Optional[Propose] = None) -> dict:
        """Losses of the fine head.

        Args:
            view: The batch as the network sees it.
            data_samples: With ``gt_regions`` and ``gt_region_map``, in the frame of the inputs.
            propose: Finds the regions of maps; needed for predicted regions.
        """
        regions, region_maps = self.training_regions(view, data_samples, propose)
        feats = self.crop(view, regions, region_maps)
        labels, fine_labels = (torch.cat([region[key] for region in regions]) for key in ('labels', 'fine_labels'))
        # Even without a region: a process that skipped the fine branch would leave the others waiting.
        return self.fine_head.loss(feats, labels, fine_labels)

    def training_regions(
        self, view: View, data_samples: Sequence[SegDataSample], propose: Optional[Propose] = None
    ) -> tuple[list[InstanceData], Tensor]:
        """Regions with ``fine_labels``, and their maps (N, H, W), from ground truth or prediction."""
        regions, region_maps = given_regions(data_samples, view.inputs.shape[2:])
        if self.box_jitter:
            regions = [
                replace_fields(region, bboxes=jitter_boxes(region.bboxes, self.box_jitter)) for region in regions
            ]
        if self.regions != 'gt':
            use = [i for i in range(len(regions)) if self.regions == 'pred' or bool(torch.rand(()) < 0.5)]
            if use:  # the others need no prediction
                assert propose is not None, 'predicted regions need a region proposer'
                predicted, pred_maps = propose(view.maps.detach().select(use))
                region_maps = region_maps.clone()
                for i, found, found_map in zip(use, predicted, pred_maps):
                    regions[i] = name_by_match(found, found_map, data_samples[i].gt_regions, region_maps[i])
                    region_maps[i] = found_map
        fields = ('ids', 'labels', 'fine_labels', 'bboxes')
        regions = [InstanceData(**{key: region[key] for key in fields}) for region in regions]
        return draw_regions(regions, self.max_regions), region_maps

    def crop(self, view: View, regions: Sequence[InstanceData], region_maps: Tensor) -> Sequence[Tensor]:
        """What the fine head reads of regions: feature maps of their crops.

        Args:
            view: The batch as the network sees it.
            regions: Of each picture, with ``ids``, ``labels`` and ``bboxes``, in the frame of the inputs.
            region_maps: (N, H, W) integers, in the same frame.
        """
        group_probs = view.maps.group_probs if self.needs_group_probs else None
        return self._look(self.crop_neck(regions, region_maps, view.inputs, view.feats, group_probs))

    def forward(self, view: View, regions: Sequence[InstanceData], region_maps: Tensor) -> Tensor:
        """Logits (R, K) of regions; arguments as of :meth:`crop`."""
        return self.fine_head(self.crop(view, regions, region_maps))

    @property
    def needs_group_probs(self) -> bool:
        """Whether crops depend on the probabilities of the groups."""
        return self.crop_neck.needs_group_probs

    def _look(self, crops: Tensor) -> Sequence[Tensor]:
        return [crops] if self.fine_backbone is None else run_on_crops(self.fine_backbone, crops, self.fine_backbone)

    # ----------------------------------------------------------------------------------------------------- prediction
    def predict(
        self,
        views: Sequence[tuple[View, Sequence[SegDataSample]]],
        regions: Sequence[InstanceData],
        region_maps: Sequence[Tensor],
        originals: Sequence[Maps],
    ) -> list[Tensor]:
        """Scores (R_i, K) of each picture's regions, averaged over views of the batch.

        Args:
            views: The batch as the network sees it, and data samples whose meta information says how each original
                became that input.
            regions: Of each picture, with ``ids``, ``labels``, ``bboxes`` and ``group_probs``, in the frame of the
                original picture.
            region_maps: (h, w) of each picture, in the same frame.
            originals: Maps of each picture in that frame. Crops are named without them; names by the segmentation
                (:class:`SegmentationNames`) are read off them.
        """
        of_views = []
        for view, samples in views:
            frames = [
                to_input_frame(region, region_map, sample.metainfo, view.inputs.shape[2:])
                for region, region_map, sample in zip(regions, region_maps, samples)
            ]
            maps = torch.stack([frame[1] for frame in frames])
            chunks = chunk_regions([frame[0] for frame in frames], self.crops_per_pass)
            of_view = torch.cat([self._score(self.crop(view, chunk, maps), chunk) for chunk in chunks])
            of_views.append(of_view.split([len(region) for region in regions]))
        scores = [torch.stack(own).mean(0) for own in zip(*of_views)]
        if self.pixel_names is None:
            return scores
        second = self.pixel_names.predict(views, regions, region_maps, originals)
        return [_normalised(own * other) for own, other in zip(scores, second)]

    def _score(self, feats: Sequence[Tensor], regions: Sequence[InstanceData]) -> Tensor:
        labels, group_probs = (torch.cat([region[key] for region in regions]) for key in ('labels', 'group_probs'))
        return self.fine_head.predict(feats, labels, group_probs)

    def predict_windows(
        self, picture: Tensor, prepare: Prepare, maps: Maps, regions: InstanceData, region_map: Tensor
    ) -> Tensor:
        """Scores (R, K) of regions of a very large picture, each of which is cropped from its own window of it.

        Args:
            picture: (3, H, W), as it was loaded or normalised.
            prepare: Makes windows of the picture the network's input.
            maps: Of this picture.
            regions: With ``ids``, ``labels``, ``bboxes`` and ``group_probs``.
            region_map: (H, W).
        """
        # The mean of each channel of the network's input, without making all of it.
        sums = [prepare([picture[:, rows]])[0].double().sum((1, 2)) for rows in row_strips(*picture.shape[1:])]
        mean = (torch.stack(sums).sum(0) / picture[0].numel()).float()
        scores = []
        for (chunk,) in chunk_regions([regions], self.crops_per_pass):
            crops = [
                self.crop_neck(
                    [region],
                    region_map[None, rows, columns],
                    prepare([picture[:, rows, columns]]),
                    None,
                    maps.group_probs[:, :, rows, columns] if self.needs_group_probs else None,
                    mean[None],
                )
                for region, rows, columns in self._windows(chunk, *region_map.shape)
            ]
            scores.append(self._score(self._look(torch.cat(crops)), [chunk]))
        if self.pixel_names is None:
            return torch.cat(scores)
        second = self.pixel_names.predict_windows(picture, prepare, maps, regions, region_map)
        return _normalised(torch.cat(scores) * second)

    def _windows(self, regions: InstanceData, height: int, width: int) -> Iterator[tuple[InstanceData, slice, slice]]:
        """Regions one by one in the frame of a window of the picture, and its rows and columns."""
        if len(regions) == 0:  # the fine branch takes crops of shape (0, C, h, w)
            yield regions, slice(0, 1), slice(0, 1)
            return
        boxes = self.crop_neck.boxes(regions.bboxes)
        # RoIAlign interpolates between the centres of pixels: half a pixel outside of the box it looks at one more.
        low = (boxes[:, :2].floor() - 1).clamp(min=0).long()
        high = torch.minimum(boxes[:, 2:].ceil() + 1, boxes.new_tensor([width, height])).long()
        for i, ((x1, y1), (x2, y2)) in enumerate(zip(low.tolist(), high.tolist())):
            region = regions[i]
            moved = region.bboxes - region.bboxes.new_tensor([x1, y1, x1, y1])
            yield replace_fields(region, bboxes=moved), slice(y1, y2), slice(x1, x2)

    def require_windows(self) -> None:
        """Raise ValueError unless crops can be made from windows of a picture."""
        if not hasattr(self.crop_neck, 'boxes'):
            raise ValueError(
                'test_cfg.keep_logits=False crops windows of the picture, for which the crop_neck must say its boxes: '
                f'{type(self.crop_neck).__name__} has no method boxes, see CropNeck'
            )


def _normalised(scores: Tensor) -> Tensor:
    """Scores (R, K), of which each row sums to 1, however small they are."""
    return F.normalize(scores, p=1, dim=1, eps=torch.finfo(torch.float32).tiny)


def move_parameters(state_dict: dict, prefix: str, moved: Mapping[str, str]) -> None:
    """Rename, in place, the parameters of a checkpoint of an earlier version: those that begin with a key of ``moved``.

    Args:
        state_dict: The state dict that a module is loading.
        prefix: What the names of the module's own parameters begin with.
        moved: The beginning of each old name after the prefix, and what it is now.
    """
    for old, new in moved.items():
        for name in [name for name in state_dict if name.startswith(prefix + old)]:
            state_dict[prefix + new + name[len(prefix + old) :]] = state_dict.pop(name)


def _build(part: Any, **given: Any) -> Any:
    if not isinstance(part, (dict, nn.Module)):
        raise ValueError(
            f'a part of the fine branch is a config or a module, got {part!r}; only a segmentor, which has an encoder '
            "to share, knows fine_backbone='shared'"
        )
    return part if isinstance(part, nn.Module) else MODELS.build({**given, **part})
