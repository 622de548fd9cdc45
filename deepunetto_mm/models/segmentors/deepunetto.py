"""The whole network: segment, crop by the mask, name."""

import functools
from typing import Any, NamedTuple, Optional, Sequence, Union

import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor
from torch.nn import functional as F

from deepunetto_mm.models.heads.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.models.necks import MaskGuidedRoICrop
from deepunetto_mm.models.regions.composing import compose_labels, write_names
from deepunetto_mm.models.regions.frames import pad_region_map, replace_fields, to_input_frame
from deepunetto_mm.models.regions.sampling import chunk_regions, draw_regions, ground_truth_regions, name_by_match
from deepunetto_mm.models.segmentors.streaming import Prepare, stream_regions
from deepunetto_mm.models.segmentors.tiled_encoder_decoder import TiledEncoderDecoder, reject_unknown
from deepunetto_mm.ops import jitter_boxes, region_means, run_on_crops
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy, TaxonomyError

TRAINING_REGIONS = ('gt', 'pred', 'mixed')


class View(NamedTuple):
    """A batch as the network sees it; what the fine branch needs besides the regions."""

    inputs: Tensor  # (N, 3, H, W)
    feats: Optional[Sequence[Tensor]]  # of the backbone and neck; None with windows and tiles
    seg_logits: Tensor  # (N, C, H, W), at the size of the inputs


@MODELS.register_module()
class DeepUNetto(TiledEncoderDecoder):
    """Segment generic classes, crop each object by its mask, and name its specific class; trained end to end.

    ::

        inputs ─▶ backbone ─▶ neck ─▶ decode_head ─▶ class logits ─▶ region_proposer ─▶ regions
          │        "rods"      │                          │ group probabilities           │
          └────────────────────┴──────────▶ crop_neck ◀───┴───────────────────────────────┘
                                                │ crops
                                                └─▶ fine_backbone "cones" ─▶ fine_head ─▶ names

    Without the four fine parts it is :class:`TiledEncoderDecoder`. With the region proposer alone it is the plain
    alternative: regions named by the segmentation, whose classes must then tell the fine ones.

    Args:
        backbone, decode_head, neck, auxiliary_head: As in mmseg. The decode head's ``forward`` must return logits.
        taxonomy: The taxonomy's dict; its classes are the decode head's. The region proposer and the fine head get it
            too, and checkpoints carry it.
        region_proposer, crop_neck, fine_backbone, fine_head: Configs of the fine parts: all, the first alone, or none.
            The fine backbone may be left out, for crops of features that the head reads as they are.
        train_cfg: ``regions``: what the fine branch is trained on, ``'gt'`` (default), ``'pred'``, regions of the
            current prediction named by the ground truth that they match at IoU > 0.5, or ``'mixed'``, either, by a fair
            coin for each picture. ``box_jitter``: largest shift of a side of a ground-truth box, as a fraction of its
            size (0). ``max_regions``: at most so many regions of a batch, drawn at random (None: all).
        test_cfg: As in :class:`TiledEncoderDecoder`, and ``oracle`` (False): score the ground-truth regions too
            (``gt_regions.oracle_scores``); ``crops_per_pass`` (256): so many regions are cropped and named at once;
            ``vote`` (False): in the composed map a pixel gets the fine class of which its segmentation's probability
            times the region's score is greatest, not the region's name; for taxonomies whose fine classes are
            segmentation classes too.

    Raises:
        TaxonomyError: If the decode head predicts another number of classes, or a checkpoint has another taxonomy.
        ValueError: If the parts or options do not fit together.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        taxonomy: Optional[Union[dict, Taxonomy]] = None,
        neck: Optional[dict] = None,
        auxiliary_head: Optional[Union[dict, list[dict]]] = None,
        region_proposer: Optional[dict] = None,
        crop_neck: Optional[dict] = None,
        fine_backbone: Optional[dict] = None,
        fine_head: Optional[dict] = None,
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        train_cfg = {'regions': 'gt', 'box_jitter': 0.0, 'max_regions': None, **(train_cfg or {})}
        test_cfg = dict(test_cfg or {})
        oracle, crops_per_pass = test_cfg.pop('oracle', False), test_cfg.pop('crops_per_pass', 256)
        vote = test_cfg.pop('vote', False)
        reject_unknown('train_cfg', train_cfg, {'regions', 'box_jitter', 'max_regions'})
        super().__init__(
            backbone=backbone,
            decode_head=decode_head,
            neck=neck,
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        self.oracle = oracle
        self.crops_per_pass = crops_per_pass
        self.vote = vote
        if not self.keep_logits and region_proposer is not None and (vote or fine_head is None):
            raise ValueError(
                'test_cfg.keep_logits=False leaves no class probabilities of the picture, which test_cfg.vote and '
                'names without a fine branch need: set keep_logits=True, or vote=False and a fine branch'
            )
        self.taxonomy = None if taxonomy is None else Taxonomy.from_dict(taxonomy)
        cones = dict(crop_neck=crop_neck, fine_head=fine_head)
        given = [name for name, part in dict(cones, fine_backbone=fine_backbone).items() if part is not None]
        self.with_regions, self.with_fine = region_proposer is not None, bool(given)
        missing = [name for name, part in dict(region_proposer=region_proposer, **cones).items() if part is None]
        if given and missing:
            raise ValueError(f'a fine branch with {given} needs {missing} too')
        if self.taxonomy is None:
            if self.with_regions:
                raise ValueError('regions and their names need a taxonomy')
            return
        if self.num_classes != len(self.taxonomy.classes):
            raise TaxonomyError(
                f'decode_head.num_classes is {self.num_classes}, but the taxonomy has '
                f'{len(self.taxonomy.classes)} classes: {list(self.taxonomy.classes)}'
            )
        self.taxonomy_stamp = TaxonomyStamp(self.taxonomy)
        if region_proposer is not None:
            self._require_names(self.taxonomy)
            self.region_proposer = MODELS.build({'taxonomy': self.taxonomy, **region_proposer})
        if self.with_fine:
            self._init_fine_branch(self.taxonomy, crop_neck, fine_backbone, fine_head)

    def _require_names(self, taxonomy: Taxonomy) -> None:
        """Check that regions can be named as the parts and options say."""
        if not taxonomy.groups:
            raise TaxonomyError('regions need a group of objects in the taxonomy; it has none')
        own = taxonomy.class_of_composed[len(taxonomy.stuff_classes) :]
        if (self.vote or not self.with_fine) and (-1 in own or len(set(own)) < len(own)):
            raise TaxonomyError(
                'test_cfg.vote, and names without a fine branch, need a segmentation class for each fine class, of the '
                f'same name and in its group; classes are {list(taxonomy.classes)}, fine classes '
                f'{list(taxonomy.fine_classes)}'
            )

    def _init_fine_branch(self, taxonomy: Taxonomy, crop_neck: Any, fine_backbone: Any, fine_head: Any) -> None:
        if self.train_cfg['regions'] not in TRAINING_REGIONS:
            raise ValueError(f'train_cfg.regions must be one of {TRAINING_REGIONS}, got {self.train_cfg["regions"]!r}')
        if not 0 <= self.train_cfg['box_jitter'] < 0.5:
            raise ValueError(
                f'train_cfg.box_jitter must be at least 0 and below 0.5, where boxes turn inside out, '
                f'got {self.train_cfg["box_jitter"]}'
            )
        self.crop_neck = MODELS.build(crop_neck)
        self.fine_backbone = None if fine_backbone is None else MODELS.build(fine_backbone)
        self.fine_head = MODELS.build({'taxonomy': taxonomy, **fine_head})
        if not self.keep_logits and not isinstance(self.crop_neck, MaskGuidedRoICrop):
            raise ValueError(
                'test_cfg.keep_logits=False crops windows of the picture, which needs a crop_neck derived from '
                f'MaskGuidedRoICrop, got {type(self.crop_neck).__name__}'
            )
        if not self.passes_whole and self.crop_neck.in_index:
            raise ValueError(
                'sliding windows, tiles and unpadded networks leave no feature map of the whole picture to crop from: '
                "set crop_neck.in_index=(), or test_cfg.mode='whole' with a padded network"
            )

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Where a parameter stands, for layer-wise learning rates: what mmpretrain's
        ``LearningRateDecayOptimWrapperConstructor`` asks a model. Each of the two backbones counts its own layers;
        whatever is in neither counts as a last layer.

        Args:
            param_name: Its full name.

        Returns:
            Number of its layer, and how many there are.

        Raises:
            NotImplementedError: If it is in a backbone that does not number its layers.
        """
        name, _, rest = param_name.partition('.')
        if name not in ('backbone', 'fine_backbone'):
            return 0, 1
        backbone = getattr(self, name)
        if not hasattr(backbone, 'get_layer_depth'):
            raise NotImplementedError(
                f'layer-wise learning rates need a {name} with the method get_layer_depth, such as mmpretrain has; '
                f'{type(backbone).__name__} lacks it'
            )
        # Whichever it is: mmpretrain's ResNet looks for 'backbone.', whatever prefix it is told.
        return backbone.get_layer_depth(f'backbone.{rest}', 'backbone.')

    # ------------------------------------------------------------------------------------------------------- training
    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses ``decode.*``, ``aux.*`` and ``fine.*`` of a batch.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_sem_seg`` and, for the fine branch, ``gt_regions`` and ``gt_region_map``, all in the
                frame of the inputs.
        """
        if not self.with_fine:
            return super().loss(inputs, data_samples)
        feats = self.extract_feat(inputs)
        # Head.loss would compute the logits, which the crops need, a second time.
        seg_logits = self._logits(feats)
        losses = add_prefix(self.decode_head.loss_by_feat(seg_logits, data_samples), 'decode')
        if self.with_auxiliary_head:
            losses.update(self._auxiliary_head_forward_train(feats, data_samples))
        seg_logits = self.resize_logits(seg_logits, inputs.shape[2:])
        group_probs = self.group_probs(seg_logits)
        regions, region_maps = self._training_regions(seg_logits.detach(), group_probs.detach(), data_samples)
        crops = self.crop_neck(regions, region_maps, inputs, feats, group_probs)
        labels, fine_labels = (torch.cat([region[key] for region in regions]) for key in ('labels', 'fine_labels'))
        # Run even on no crop at all: a rank that skipped the fine branch would leave the others waiting.
        fine_losses = self.fine_head.loss(self.fine_features(crops), labels, fine_labels)
        losses.update(add_prefix(fine_losses, 'fine'))
        return losses

    def _training_regions(
        self, seg_logits: Tensor, group_probs: Tensor, data_samples: list[SegDataSample]
    ) -> tuple[list[InstanceData], Tensor]:
        """Regions with ``fine_labels``, and their maps (N, H, W), from ground truth or prediction."""
        size = seg_logits.shape[2:]
        gt_maps = torch.stack([pad_region_map(sample.gt_region_map.data[0], size) for sample in data_samples])
        regions, region_maps = [sample.gt_regions for sample in data_samples], gt_maps
        source = self.train_cfg['regions']
        if self.train_cfg['box_jitter']:
            regions = [
                replace_fields(region, bboxes=jitter_boxes(region.bboxes, self.train_cfg['box_jitter']))
                for region in regions
            ]
        if source != 'gt':
            label_maps = self.classify(seg_logits)
            predicted, pred_maps = self.region_proposer(label_maps, group_probs)
            use = [source == 'pred' or bool(torch.rand(()) < 0.5) for _ in data_samples]
            regions = [
                name_by_match(pred, pred_map, sample.gt_regions, gt_map) if pick else region
                for pick, pred, pred_map, region, sample, gt_map in zip(
                    use, predicted, pred_maps, regions, data_samples, gt_maps
                )
            ]
            region_maps = torch.where(torch.tensor(use, device=gt_maps.device)[:, None, None], pred_maps, gt_maps)
        regions = [
            InstanceData(**{key: region[key] for key in ('ids', 'labels', 'fine_labels', 'bboxes')})
            for region in regions
        ]
        return draw_regions(regions, self.train_cfg['max_regions']), region_maps

    # ----------------------------------------------------------------------------------------------------- prediction
    def predict(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> list[SegDataSample]:
        """Segment, find the regions, and name them.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: Their meta information; None stands for pictures that were neither resized, padded nor
                flipped.

        Returns:
            The data samples with ``seg_logits``, ``pred_sem_seg``, ``pred_regions``, ``pred_region_map`` and
            ``pred_fine_seg``, all in the frame of the original pictures; with ``test_cfg.keep_logits=False`` without
            ``seg_logits``.
        """
        if not self.keep_logits:
            return super().predict(inputs, data_samples)
        view = self.segment(inputs, data_samples)
        data_samples = self.postprocess_result(view.seg_logits, data_samples)
        if self.with_regions:
            self.name_regions([(view, data_samples)], data_samples)
        return data_samples

    def name_regions(
        self, views: Sequence[tuple[View, list[SegDataSample]]], data_samples: list[SegDataSample]
    ) -> None:
        """Find the regions by each sample's segmentation, name them by every view of the batch, compose the maps.

        Args:
            views: The batch as the network sees it, and data samples whose meta information says how each original
                became that input; several views are averaged.
            data_samples: Those that are written to.
        """
        for sample in data_samples:
            self.propose(sample, self.group_probs(sample.seg_logits.data[None])[0])
        regions = [sample.pred_regions for sample in data_samples]
        maps = [sample.pred_region_map.data[0] for sample in data_samples]
        for sample, scores in zip(data_samples, self._scores(views, regions, maps, data_samples)):
            self.compose(sample, scores)
        if self.oracle:
            regions = [ground_truth_regions(sample, regions[0].group_probs.shape[1]) for sample in data_samples]
            maps = [sample.gt_region_map.data[0] for sample in data_samples]
            for sample, scores in zip(data_samples, self._scores(views, regions, maps, data_samples)):
                sample.gt_regions.oracle_scores = scores

    def segment(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> View:
        """Class logits at the size of the inputs, whole, by sliding window or tile by tile."""
        shape = inputs.shape[2:]
        metas = [dict(sample.metainfo) for sample in data_samples or []] or [{} for _ in inputs]
        for meta in metas:
            # The logits are wanted at the inputs' size, whatever a picture's own; mmseg reads it off here.
            meta.update(img_shape=shape, pad_shape=shape)
            meta.setdefault('ori_shape', shape)
        if not self.passes_whole:
            return View(inputs, None, self.inference(inputs, metas))
        feats = self.extract_feat(inputs)
        return View(inputs, feats, self.decode_head.predict(feats, metas, self.test_cfg))

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: Optional[list[SegDataSample]] = None
    ) -> list[SegDataSample]:
        """As mmseg's: logits and label maps in the frame of the original pictures."""
        data_samples = super().postprocess_result(seg_logits, data_samples)
        if self.with_regions and self.out_channels == 1:
            # For one channel mmseg stores the probabilities under the name of the logits.
            for sample in data_samples:
                # In float32: bfloat16 has nothing between 1 - eps and 1, whose logit is infinite.
                logits = sample.seg_logits.data.float().logit(eps=1e-6)
                sample.set_data(dict(seg_logits=PixelData(data=logits)))
        return data_samples

    def stream(self, picture: Tensor, sample: SegDataSample, prepare: Prepare) -> None:
        """Write what :meth:`predict` says of a picture (3, H, W): label maps in int16, region ids in int32."""
        if self.with_regions:
            stream_regions(self, picture, sample, prepare)
        else:
            super().stream(picture, sample, prepare)

    def propose(self, sample: SegDataSample, group_probs: Tensor) -> None:
        """Write ``pred_regions`` (not yet named) and ``pred_region_map`` by the sample's own segmentation.

        Args:
            sample: With ``pred_sem_seg``.
            group_probs: (G, H, W).
        """
        labels = sample.pred_sem_seg.data
        labels = labels.long() if labels.is_floating_point() else labels  # mmseg's binary labels are 0.0 and 1.0
        regions, maps = self.region_proposer(labels, group_probs[None])
        sample.set_data(dict(pred_regions=regions[0], pred_region_map=PixelData(data=maps)))

    def fine_scores(
        self, view: View, regions: list[InstanceData], region_maps: list[Tensor], data_samples: list[SegDataSample]
    ) -> list[Tensor]:
        """Scores (R_i, K) of each picture's regions, which are given in the frame of the original picture.

        Args:
            view: The batch as the network sees it.
            regions: Regions of each picture, with ``ids``, ``labels``, ``bboxes`` and ``group_probs``.
            region_maps: (h, w) of each picture.
            data_samples: Their meta information: how the original became the input.
        """
        shape = view.inputs.shape[2:]
        frames = [
            to_input_frame(*item, shape) for item in zip(regions, region_maps, (s.metainfo for s in data_samples))
        ]
        maps, group_probs = torch.stack([frame[1] for frame in frames]), self.group_probs(view.seg_logits)
        scores = []
        for seen in chunk_regions([frame[0] for frame in frames], self.crops_per_pass):
            crops = self.crop_neck(seen, maps, view.inputs, view.feats, group_probs)
            scores.append(self.name_crops(crops, seen))
        return list(torch.cat(scores).split([len(region) for region in regions]))

    def name_crops(self, crops: Tensor, regions: Sequence[InstanceData]) -> Tensor:
        """Scores (R, K) of the crops (R, C, h, w) of regions with ``labels`` and ``group_probs``."""
        labels, group_probs = (torch.cat([region[key] for region in regions]) for key in ('labels', 'group_probs'))
        return self.fine_head.predict(self.fine_features(crops), labels, group_probs)

    def _scores(
        self, views: Any, regions: list[InstanceData], maps: list[Tensor], data_samples: list[SegDataSample]
    ) -> list[Tensor]:
        """Scores of regions in the frame of the original: by the fine branch, averaged over views, or else by class."""
        if not self.with_fine:
            return [self._class_scores(*item) for item in zip(regions, maps, data_samples)]
        of_views = [self.fine_scores(view, regions, maps, samples) for view, samples in views]
        return [torch.stack(scores).mean(0) for scores in zip(*of_views)]

    def _class_scores(self, region: InstanceData, region_map: Tensor, sample: SegDataSample) -> Tensor:
        """Mean probability of each fine class's own segmentation class over the region, (R, K); rows sum to 1."""
        assert self.taxonomy is not None, 'only a network with regions has names to give'
        of_fine = list(self.taxonomy.class_of_composed[len(self.taxonomy.stuff_classes) :])
        means = region_means(region_map, region.ids, self.class_probs(sample.seg_logits.data[None])[0, of_fine])
        own_group = region.labels[:, None] == region.labels.new_tensor(self.taxonomy.group_of_fine)
        return F.normalize(means * own_group, p=1, dim=1)

    def fine_features(self, crops: Tensor) -> Sequence[Tensor]:
        """What the fine head reads of the crops (R, C, h, w)."""
        return [crops] if self.fine_backbone is None else run_on_crops(self.fine_backbone, crops, self.fine_backbone)

    def compose(self, sample: SegDataSample, scores: Tensor) -> None:
        """Name the sample's regions by their scores (R, K), and write the composed map ``pred_fine_seg``."""
        assert self.taxonomy is not None, 'only a network with regions has names to write'
        regions = sample.pred_regions
        write_names(regions, scores, self.taxonomy)
        composed = compose_labels(
            sample.pred_sem_seg.data[0].long(),
            self.class_probs(sample.seg_logits.data[None])[0],
            sample.pred_region_map.data[0],
            regions,
            self.taxonomy,
            self.vote,
        )
        sample.set_data(dict(pred_fine_seg=PixelData(data=composed[None])))

    def _forward(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> Any:
        """Mode ``tensor``: class logits (N, C, H/s, W/s), and with a fine branch logits (R, K) of predicted regions."""
        if not self.with_fine:
            return super()._forward(inputs, data_samples)
        feats = self.extract_feat(inputs)
        seg_logits = self._logits(feats)
        full = self.resize_logits(seg_logits, inputs.shape[2:])
        group_probs = self.group_probs(full)
        regions, maps = self.region_proposer(self.classify(full), group_probs.detach())
        crops = self.crop_neck(regions, maps, inputs, feats, group_probs)
        return seg_logits, self.fine_head(self.fine_features(crops))

    def _logits(self, feats: Sequence[Tensor]) -> Tensor:
        logits = self.decode_head(feats)
        if not isinstance(logits, Tensor):
            raise TypeError(
                f'{type(self.decode_head).__name__} gives a {type(logits).__name__} in training; a fine branch needs a '
                'decode head whose forward gives class logits (N, C, h, w)'
            )
        return logits

    # ---------------------------------------------------------------------------------------------------- label spaces
    def group_probs(self, seg_logits: Tensor) -> Tensor:
        """Probability of each group: (N, C, H, W) logits to (N, G, H, W)."""
        return self.sum_groups(self.class_probs(seg_logits))

    def sum_groups(self, class_probs: Tensor) -> Tensor:
        """Probability of each group, the sum over its classes: (N, C, H, W) to (N, G, H, W)."""
        assert self.taxonomy is not None, 'groups come from the taxonomy'
        # Planes, not an index for each group, whose gradient would fill the whole tensor with zeros for every group.
        planes, groups = class_probs.unbind(1), self.taxonomy.group_of_class
        members = [[plane for plane, own in zip(planes, groups) if own == g] for g in range(len(self.taxonomy.groups))]
        return torch.stack([functools.reduce(torch.add, own) for own in members], dim=1)

    def class_probs(self, seg_logits: Tensor) -> Tensor:
        """Probability of each class, from (N, C, H, W) logits; two of them where C is 1."""
        if self.out_channels == 1:  # mmseg's form of binary segmentation
            probs = seg_logits.float().sigmoid()
            return torch.cat([1 - probs, probs], dim=1)
        return seg_logits.float().softmax(1)
