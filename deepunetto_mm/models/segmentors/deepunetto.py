"""The whole network: segment, find regions, crop them by their masks, and name them."""

import functools
from typing import Any, Mapping, Optional, Sequence, Union

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from deepunetto_mm.models.dense_heads.dense_head import DenseHeads, decode, named_kinds
from deepunetto_mm.models.fine.composing import write_predictions
from deepunetto_mm.models.fine.fine_branch import FineBranch, move_parameters
from deepunetto_mm.models.fine.sampling import ground_truth_regions
from deepunetto_mm.models.fine.segmentation_names import SegmentationNames
from deepunetto_mm.models.fine.taxonomy_stamp import TaxonomyStamp
from deepunetto_mm.models.segmentors.fitting import (
    require_crops_of_picture,
    require_fine_parts,
    require_map_of_names,
    require_maps,
    require_names_to_join,
    require_passes,
    require_taxonomy,
    with_ignore_index,
)
from deepunetto_mm.models.segmentors.passes import PASS_OPTIONS, Painted, build_pass, reject_unknown, with_mode
from deepunetto_mm.models.segmentors.shared_backbone import leave_out_shared, load_shared, second_look
from deepunetto_mm.models.segmentors.streaming import predict_streamed, prepare_windows
from deepunetto_mm.ops.mixed_sizes import predict_by_size
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.structures.maps import Maps, View, resize_map

TRAIN_CFG = dict(regions='gt', box_jitter=0.0, max_regions=None)
TEST_CFG = {'keep_logits', 'oracle', 'crops_per_pass', 'vote', 'join'}
# Where parameters of earlier versions are now.
MOVED = {f'{part}.': f'fine_branch.{part}.' for part in ('crop_neck', 'fine_backbone', 'fine_head')}


@MODELS.register_module(name=['DeepUNetto', 'TiledEncoderDecoder'])
class DeepUNetto(EncoderDecoder):
    """Segment generic classes, crop each object by its mask, and name its specific class; trained end to end.

    ::

        inputs ─▶ backbone "rods" ─▶ decode_head ─┬▶ class logits ──┐
                        │                         └▶ dense_heads ───┤ maps
                        │ feats                                     ├─▶ region_proposer ─▶ regions
                        └───────────────▶ view: inputs, feats, maps ┘                         │
                                               └────▶ fine_branch ◀───────────────────────────┘
                                                      crop_neck ─▶ fine_backbone "cones" ─▶ fine_head ─▶ names
                                                                              names + maps ─▶ composed map

    It is an mmseg ``EncoderDecoder``: without dense heads and regions its losses are mmseg's, and in every case its
    logits in the modes ``'whole'`` and ``'slide'``. Without a fine branch, regions are named by their pixels: by a
    dense head, or, the plain alternative, by the segmentation, whose classes must then contain the fine ones.
    ``TiledEncoderDecoder`` is another name of it.

    Args:
        backbone, decode_head, neck, auxiliary_head, data_preprocessor, pretrained, init_cfg: As in mmseg, whose
            ``init_model`` and tools set ``pretrained=None``. The decode head's ``forward`` must return logits. Dense
            heads read what it gives to ``cls_seg``, or returns from ``forward_features``.
        taxonomy: The taxonomy or its dict; its classes are the decode head's. Dense heads, region proposer and fine
            head get it too, and checkpoints carry it.
        dense_heads: Configs of heads beside the decode head, by name (:class:`DenseHead`).
        region_proposer: Config of a :class:`RegionProposer`.
        crop_neck, fine_backbone, fine_head: Configs of the parts of the :class:`FineBranch`; all or none. The fine
            backbone may be left out, for crops of features that the head reads as they are. ``'shared'`` is the
            ``backbone`` again, with the same kernels and norms of its own, for crops of the picture alone
            (``in_index=()``). It takes their luminance if it takes that of pictures, but does not reduce them. An
            optimizer with ``paramwise_cfg`` needs ``bypass_duplicate=True`` in it.
        region_names: Without those parts, the map that names the regions: ``'logits'``, the class logits, or logits of
            the fine classes from a dense head, such as ``'names.logits'`` of a :class:`FineMapHead`. With them, such a
            map is a second opinion: scores are the normalised product of both. To a fine head with the condition
            ``'flat'`` the map, log-probabilities within each group, gives the names of all groups, each times the
            group's probability in the region.
        train_cfg: ``regions`` ('gt'), ``box_jitter`` (0) and ``max_regions`` (None), as in :class:`FineBranch`.
        test_cfg: ``mode``: ``'whole'`` (default), ``'slide'`` with ``crop_size`` and ``stride``, both as in mmseg, or
            ``'tile'``, overlapping tiles with mirrored borders, with the options of :class:`TilePass` and

            - ``keep_logits`` (True): False for very large pictures: labels are taken from each tile at once, each
              window is normalised separately, and the data samples get no ``seg_logits``, and label maps of int16. The
              labels are the same. Not with ``blending``, and the pipeline and the preprocessor must leave pictures at
              their own size.

            And ``oracle`` (False): also score the annotated regions (``gt_regions.oracle_scores``);
            ``crops_per_pass`` (256), as in :class:`FineBranch`; ``vote`` (False): in the composed map, a pixel of a
            region gets, of its group's fine classes, the one with the greatest product of its probability there and the
            region's score. The probability is that of the map ``region_names``; by class logits, fine classes must be
            segmentation classes too. ``join`` (False): regions of different groups become one where they touch and
            their names are of the same group; for a fine head that may name them so, by ``condition='flat'``.

    Raises:
        TaxonomyError: If the decode head predicts another number of classes, or a checkpoint has another taxonomy.
        ValueError: If an option is unknown, or parts and options do not fit together.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        taxonomy: Optional[Union[dict, Taxonomy]] = None,
        neck: Optional[dict] = None,
        auxiliary_head: Optional[Union[dict, list[dict]]] = None,
        dense_heads: Optional[Mapping[str, dict]] = None,
        region_proposer: Optional[dict] = None,
        crop_neck: Optional[dict] = None,
        fine_backbone: Optional[Union[dict, str]] = None,
        fine_head: Optional[dict] = None,
        region_names: str = 'logits',
        train_cfg: Optional[dict] = None,
        test_cfg: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        pretrained: Optional[str] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        train_cfg = {**TRAIN_CFG, **(train_cfg or {})}
        test_cfg = with_mode(test_cfg)
        reject_unknown('train_cfg', train_cfg, set(TRAIN_CFG))
        reject_unknown('test_cfg', test_cfg, PASS_OPTIONS | TEST_CFG)
        labels: Any = None if taxonomy is None else Taxonomy.from_dict(taxonomy)
        if labels is not None and labels.ignore_index != 255:  # which is the default of all parts
            decode_head, auxiliary_head, data_preprocessor = with_ignore_index(
                labels.ignore_index, decode_head, auxiliary_head, data_preprocessor
            )
        super().__init__(
            backbone=backbone,
            decode_head=decode_head,
            neck=neck,
            auxiliary_head=auxiliary_head,
            train_cfg=train_cfg,
            test_cfg=ConfigDict(test_cfg),  # mmseg reads it by attribute
            data_preprocessor=data_preprocessor,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.passing: Any = build_pass(test_cfg, self.decode_head)
        self.keep_logits = test_cfg.get('keep_logits', True)
        self.oracle = test_cfg.get('oracle', False)
        self.vote = region_names if test_cfg.get('vote', False) else ''
        self.join = test_cfg.get('join', False)
        self.taxonomy: Any = labels
        self.dense_heads: Any = DenseHeads(
            {name: MODELS.build({'taxonomy': self.taxonomy, **head}) for name, head in (dense_heads or {}).items()}
        )
        self.kinds = {'logits': 'logits'}
        for name, head in self.dense_heads.items():
            self.kinds.update(named_kinds(name, head))
            head.align_corners = self.align_corners
        self.with_regions = region_proposer is not None
        fine: dict[str, Any] = dict(crop_neck=crop_neck, fine_backbone=fine_backbone, fine_head=fine_head)
        self.with_fine = require_fine_parts(region_proposer, **fine)
        require_map_of_names(self.kinds, 'region_names', region_names)
        require_taxonomy(self, self.taxonomy)
        if self.taxonomy is not None:
            self.taxonomy_stamp = TaxonomyStamp(self.taxonomy)
        if region_proposer is not None:
            self.region_proposer: Any = MODELS.build({'taxonomy': self.taxonomy, **region_proposer})
            by_name = getattr(self.region_proposer, 'by_name', None)
            if by_name is not None:
                require_map_of_names(self.kinds, 'region_proposer.by_name', by_name, of_dense_head=True)
            require_maps(self.kinds, self.region_proposer)
            self.fine_branch: Any = self._build_fine_branch(fine, region_names)
        require_passes(self, region_names)
        require_names_to_join(self)

    def _build_fine_branch(self, parts: dict[str, Any], region_names: str) -> nn.Module:
        if not self.with_fine:
            return SegmentationNames(self.taxonomy, region_names)
        shared = parts['fine_backbone'] == 'shared'
        if shared:
            parts['fine_backbone'] = second_look(self.backbone)
            self._register_state_dict_hook(leave_out_shared)
        at_once = self.test_cfg.get('crops_per_pass', 256)
        second = None if region_names == 'logits' else region_names
        branch = FineBranch(self.taxonomy, **parts, **self.train_cfg, crops_per_pass=at_once, pixel_names=second)
        require_crops_of_picture(branch.crop_neck, shared)
        return branch

    crop_neck = property(lambda self: self.fine_branch.crop_neck, doc='Cuts regions out of pictures and feature maps.')
    fine_backbone = property(lambda self: self.fine_branch.fine_backbone, doc='Cones: looks at the crops.')
    fine_head = property(lambda self: self.fine_branch.fine_head, doc='Names the crops.')

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        move_parameters(state_dict, prefix, MOVED)
        if self.with_fine and self.fine_backbone is not None:
            load_shared(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """The layer of a parameter, and the number of layers, for layer-wise learning rates: what mmpretrain's
        ``LearningRateDecayOptimWrapperConstructor`` asks a model. Each of the two backbones counts its own layers; a
        parameter in neither counts as of a last layer. With ``fine_backbone='shared'`` that constructor fails, since it
        adds kernels twice.

        Args:
            param_name: Its full name.

        Raises:
            NotImplementedError: If it is in a backbone that does not number its layers.
        """
        for name in ('backbone', 'fine_branch.fine_backbone'):
            if param_name.startswith(f'{name}.'):
                backbone: Any = self.get_submodule(name)
                if not hasattr(backbone, 'get_layer_depth'):
                    raise NotImplementedError(
                        f'layer-wise learning rates need a {name.split(".")[-1]} with the method get_layer_depth, such '
                        f'as mmpretrain has; {type(backbone).__name__} does not have it'
                    )
                # 'backbone.' for each: mmpretrain's ResNet looks for it, whatever prefix it is given.
                return backbone.get_layer_depth(f'backbone.{param_name[len(name) + 1 :]}', 'backbone.')
        return 0, 1

    # --------------------------------------------------------------------------------------------- through the network
    def paint(self, inputs: Tensor, metas: list[dict]) -> Painted:
        """Feature maps, and maps of the size that the first ``img_shape`` asks for, of inputs (N, 3, H, W)."""
        feats = self.extract_feat(inputs)
        if not self.dense_heads:
            return Painted(feats, dict(logits=self.decode_head.predict(feats, metas, self.test_cfg)))
        maps = self.paint_feats(feats)
        maps['logits'] = self.decode_head.predict_by_feat(maps['logits'], metas)
        size = maps['logits'].shape[2:]
        return Painted(
            feats, {name: resize_map(x, size, self.kinds[name], self.align_corners) for name, x in maps.items()}
        )

    def paint_feats(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """All maps by name, at the network's own strides, of the feature maps of backbone and neck."""
        logits, features = decode(self.decode_head, feats) if self.dense_heads else (self.decode_head(feats), None)
        if not isinstance(logits, Tensor):
            raise TypeError(
                f'{type(self.decode_head).__name__} gives a {type(logits).__name__} in training; a fine branch and '
                'dense_heads need a decode head whose forward gives class logits (N, C, h, w)'
            )
        maps = dict(logits=logits)
        for name, head in self.dense_heads.items():
            maps.update({f'{name}.{key}': x for key, x in head(features, feats).items()})
        return maps

    def maps(self, tensors: Mapping[str, Tensor]) -> Maps:
        """Maps (N, C, H, W) by name, with what follows from them."""
        return Maps(tensors, self.kinds, self.taxonomy, getattr(self.decode_head, 'threshold', None))

    def look(self, inputs: Tensor, data_samples: Optional[Sequence[SegDataSample]] = None) -> View:
        """A batch as the network sees it, whole, by sliding window or tile by tile; maps at the size of the inputs."""
        shape = inputs.shape[2:]
        metas = [dict(sample.metainfo) for sample in data_samples or []] or [{} for _ in inputs]
        for meta in metas:
            # The maps are wanted at the inputs' size, whatever a picture's own; mmseg reads it off here.
            meta.update(img_shape=shape, pad_shape=shape)
            meta.setdefault('ori_shape', shape)
        painted = self.passing(self.paint, inputs, metas)
        return View(inputs, painted.feats if self.passing.whole else None, self.maps(painted.maps))

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Class logits (N, C, H, W) of a batch, by the mode of ``test_cfg``; as in mmseg."""
        return self.passing(self.paint, inputs, batch_img_metas).maps['logits']

    # ------------------------------------------------------------------------------------------------------- training
    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of a batch: ``decode.*``, ``aux.*``, ``<dense head>.*``, ``regions.*`` and ``fine.*``.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: With ``gt_sem_seg`` and, for the fine branch, ``gt_regions`` and ``gt_region_map``, all in the
                frame of the inputs.
        """
        learns = self.with_regions and hasattr(self.region_proposer, 'loss')
        if not (self.with_fine or self.dense_heads or learns):
            return super().loss(inputs, data_samples)
        feats = self.extract_feat(inputs)
        # Head.loss would compute the logits, which the other parts need, a second time.
        maps = self.maps(self.paint_feats(feats))
        losses = add_prefix(self.decode_head.loss_by_feat(maps.logits, data_samples), 'decode')
        if self.with_auxiliary_head:
            losses.update(self._auxiliary_head_forward_train(feats, data_samples))
        for name, head in self.dense_heads.items():
            own = {key: maps[f'{name}.{key}'] for key in head.kinds}
            losses.update(add_prefix(head.loss(own, data_samples), name))
        if learns:
            losses.update(add_prefix(self.region_proposer.loss(maps, data_samples), 'regions'))
        if self.with_fine:
            view = View(inputs, feats, self._at_input_size(maps, inputs))
            losses.update(add_prefix(self.fine_branch.loss(view, data_samples, self.region_proposer), 'fine'))
        return losses

    def _at_input_size(self, maps: Maps, inputs: Tensor) -> Maps:
        if getattr(self.decode_head, 'output_margin', 0):
            raise ValueError(
                'the logits of an unpadded U-Net cover the centre of its input, and the fine branch needs them to the '
                'border: train the segmentation without the fine parts, or use a padded decode head'
            )
        return maps.resized(inputs.shape[2:], self.align_corners)

    def _forward(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> Any:
        """Mode ``tensor``: class logits (N, C, H/s, W/s), and with a fine branch logits (R, K) of predicted regions."""
        if not self.with_fine:
            return super()._forward(inputs, data_samples)
        feats = self.extract_feat(inputs)
        maps = self.maps(self.paint_feats(feats))
        view = View(inputs, feats, self._at_input_size(maps, inputs))
        regions, region_maps = self.region_proposer(view.maps.detach())
        return maps.logits, self.fine_branch(view, regions, region_maps)

    # ----------------------------------------------------------------------------------------------------- prediction
    def predict(self, inputs: Tensor, data_samples: Optional[list[SegDataSample]] = None) -> list[SegDataSample]:
        """Segment, find the regions, and name them.

        Args:
            inputs: (N, 3, H, W) normalised pictures.
            data_samples: Their meta information; None for pictures that were neither resized, padded nor flipped.

        Returns:
            The data samples with ``seg_logits``, ``pred_sem_seg``, ``pred_regions``, ``pred_region_map`` and
            ``pred_fine_seg``, all in the frame of the original pictures; with ``test_cfg.keep_logits=False`` without
            ``seg_logits``.
        """
        if not self.keep_logits:
            samples = data_samples or [SegDataSample() for _ in inputs]
            return predict_streamed(self, list(inputs), samples, torch.stack)
        view = self.look(inputs, data_samples)
        if not (self.with_regions or self.dense_heads):
            return self.postprocess_result(view.maps.logits, data_samples)
        samples = data_samples or [SegDataSample() for _ in inputs]
        originals = view.maps.originals([sample.metainfo for sample in samples], self.align_corners)
        self.write(samples, originals, [(view, samples)])
        return samples

    @torch.no_grad()
    def write(
        self,
        samples: Sequence[SegDataSample],
        originals: Sequence[Maps],
        views: Sequence[tuple[View, Sequence[SegDataSample]]],
    ) -> None:
        """Write predictions into data samples.

        Args:
            samples: What is written to.
            originals: Maps of each picture, in the frame of its original.
            views: What :meth:`FineBranch.predict` is given: the batch as the network sees it, once or in several views.
        """
        for sample, maps in zip(samples, originals):
            sample.set_data(dict(seg_logits=PixelData(data=maps.logits[0]), pred_sem_seg=PixelData(data=maps.labels)))
            for name, head in self.dense_heads.items():
                if getattr(head, 'drawn', None):
                    own = torch.cat([maps[f'{name}.{key}'][0] for key in head.kinds])
                    sample.set_data({f'pred_{head.drawn}': PixelData(data=own)})
        if not self.with_regions:
            return
        found = [self.region_proposer(maps) for maps in originals]
        regions, region_maps = [own[0] for own, _ in found], [own[0] for _, own in found]
        scores = self.fine_branch.predict(views, regions, region_maps, originals)
        for item in zip(samples, regions, region_maps, scores, originals):
            write_predictions(*item, vote=self.vote, join=self.join)
        if self.oracle:
            annotated = [ground_truth_regions(sample, len(self.taxonomy.groups)) for sample in samples]
            region_maps = [sample.gt_region_map.data[0] for sample in samples]
            for sample, own in zip(samples, self.fine_branch.predict(views, annotated, region_maps, originals)):
                sample.gt_regions.oracle_scores = own

    # ------------------------------------------------------------------------------------------- very large pictures
    def test_step(self, data: Any) -> list[SegDataSample]:
        """As mmengine's, but a batch may have pictures of several sizes.

        With ``test_cfg.keep_logits=False`` windows are normalised one by one, never the picture.
        """
        if self.keep_logits:
            return predict_by_size(super().test_step, data)
        data = self.data_preprocessor.cast_data(data)
        prepare = functools.partial(prepare_windows, self.data_preprocessor)
        return predict_streamed(self, data['inputs'], data['data_samples'], prepare)

    def val_step(self, data: Any) -> list[SegDataSample]:
        """As :meth:`test_step`."""
        return self.test_step(data)
