"""Do the parts of a network fit together? What :class:`DeepUNetto` checks when it is built, and not after hours."""

from typing import Any, Mapping, Optional

from deepunetto_mm.models.fine.segmentation_names import require_own_classes
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.config_parts import as_list, type_name
from deepunetto_mm.utils.head_checks import check_heads


def with_ignore_index(
    label: int, decode_head: Any, auxiliary_head: Any, data_preprocessor: Any
) -> tuple[Any, Any, Any]:
    """Configs of parts with the taxonomy's ignored label, where they leave it out."""

    def fill(head: dict) -> dict:
        return {'ignore_index': label, **head}

    if auxiliary_head is not None:
        filled = [fill(head) for head in as_list(auxiliary_head)]
        auxiliary_head = filled if isinstance(auxiliary_head, (list, tuple)) else filled[0]
    if isinstance(data_preprocessor, dict) and type_name(data_preprocessor) == 'SegDataPreProcessor':
        data_preprocessor = {'seg_pad_val': label, **data_preprocessor}
    return fill(decode_head), auxiliary_head, data_preprocessor


def require_fine_parts(region_proposer: Any, crop_neck: Any, fine_backbone: Any, fine_head: Any) -> bool:
    """Whether there is a fine branch.

    Raises:
        ValueError: If only some of its parts are given. The fine backbone alone may be left out.
    """
    fine = dict(crop_neck=crop_neck, fine_backbone=fine_backbone, fine_head=fine_head)
    given = [name for name, part in fine.items() if part is not None]
    needed = dict(region_proposer=region_proposer, crop_neck=crop_neck, fine_head=fine_head)
    missing = [name for name, part in needed.items() if part is None]
    if given and missing:
        raise ValueError(f'a fine branch with {given} needs {missing} too')
    return bool(given)


def require_crops_of_picture(crop_neck: Any, shared: bool) -> None:
    """Raise ValueError if a shared encoder would be given other crops than those of the picture."""
    more = len(crop_neck.in_index) > 0 or getattr(crop_neck, 'guidance', '') == 'concat'
    if shared and more:
        raise ValueError(
            "fine_backbone='shared' reads crops of the picture alone: set crop_neck.in_index=(), and another guidance "
            "than 'concat'"
        )


def require_map_of_names(kinds: Mapping[str, str], option: str, name: str, of_dense_head: bool = False) -> None:
    """Check an option that says which map gives names.

    Args:
        kinds: The kinds of the maps that the network paints, by name.
        option: Its name, for the error.
        name: The map.
        of_dense_head: Whether the class logits do not do.

    Raises:
        ValueError: If the network has no such map, or it is not of logits.
    """
    if kinds.get(name) != 'logits' or (of_dense_head and name == 'logits'):
        whose = "a dense head's map" if of_dense_head else 'a map'
        raise ValueError(f"{option}={name!r}: {whose} of kind 'logits' gives names; this network has the maps {kinds}")


def require_maps(kinds: Mapping[str, str], region_proposer: Any) -> None:
    """Raise ValueError if a region proposer reads a map that no dense head paints (:attr:`RegionProposer.reads`)."""
    missing = [name for name in getattr(region_proposer, 'reads', ()) if name == 'logits' or name not in kinds]
    if missing:
        raise ValueError(
            f'{type(region_proposer).__name__} reads the maps {missing} of dense heads; this network has the maps '
            f'{kinds}: add the head to dense_heads, or set the option of region_proposer that names it'
        )


def require_taxonomy(model: Any, taxonomy: Optional[Taxonomy]) -> None:
    """Check the taxonomy against the heads, the preprocessor and the regions of a segmentor.

    Raises:
        TaxonomyError: If the decode head predicts another number of classes, or regions have no group.
        ValueError: If regions have no taxonomy, or parts ignore another label.
    """
    if taxonomy is None:
        if model.with_regions:
            raise ValueError('regions and their names need a taxonomy')
        return
    if model.num_classes != len(taxonomy.classes):
        raise TaxonomyError(
            f'decode_head.num_classes is {model.num_classes}, but the taxonomy has {len(taxonomy.classes)} classes: '
            f'{list(taxonomy.classes)}'
        )
    check_heads(model, taxonomy.classes, taxonomy.ignore_index)
    padding = getattr(model.data_preprocessor, 'seg_pad_val', taxonomy.ignore_index)
    if padding != taxonomy.ignore_index:
        raise ValueError(
            f"model.data_preprocessor.seg_pad_val is {padding}, the taxonomy's ignore_index {taxonomy.ignore_index}: "
            'leave seg_pad_val out'
        )
    if model.with_regions and not taxonomy.groups:
        raise TaxonomyError('regions need a group of objects in the taxonomy; it has none')
    if model.with_regions and model.vote == 'logits':
        require_own_classes(taxonomy)


def require_names_to_join(model: Any) -> None:
    """Raise ValueError if regions are to be joined by names that never leave the group of the segmentation,
    or although borders have separated them.
    """
    condition = model.fine_branch.fine_head.condition if model.with_fine else 'hard'
    # A map of names beside a head of the condition 'soft' keeps to the group of the segmentation.
    if model.join and not (condition == 'flat' or (condition == 'soft' and model.fine_branch.pixel_names is None)):
        raise ValueError(
            'test_cfg.join=True joins regions whose names put them into one group, and here names stay in the group of '
            "the segmentation: add a fine branch with fine_head.condition='flat', or leave join out"
        )
    if model.join and getattr(model.region_proposer, 'across_groups', False):
        raise ValueError(
            'test_cfg.join=True joins what borders have separated: leave join out, or region_proposer.across_groups'
        )


def require_passes(model: Any, region_names: str) -> None:
    """Check that the parts get what they need of the way in which pictures go through the network.

    Args:
        model: The network.
        region_names: The map that names its regions.

    Raises:
        ValueError: If crops of feature maps, votes of pixels or blended tiles would have nothing to read, names of
            regions would have none, or dense heads would learn the whole input of a network that paints its centre.
    """
    if model.dense_heads and getattr(model.decode_head, 'output_margin', 0):
        raise ValueError(
            'dense_heads compare their maps with the whole input, and an unpadded U-Net paints the centre of it: leave '
            'them out, or use a padded decode head'
        )
    ignored = [key for key, value in dict(vote=model.vote, oracle=model.oracle).items() if value]
    if ignored and not model.with_regions:
        raise ValueError(f'test_cfg has {ignored}, which are about regions: add a region_proposer, or leave them out')
    if region_names != 'logits' and not model.with_regions:
        raise ValueError(f'region_names={region_names!r} names regions: add a region_proposer, or leave it out')
    if model.with_fine and not model.passing.whole and model.crop_neck.in_index:
        raise ValueError(
            'sliding windows, tiles and unpadded networks leave no feature map of the whole picture to crop from: '
            "set crop_neck.in_index=(), or test_cfg.mode='whole' with a padded network"
        )
    if model.keep_logits:
        return
    mode, blending = model.test_cfg.mode, model.test_cfg.get('blending')
    if mode != 'tile' or blending is not None:
        raise ValueError(
            "test_cfg.keep_logits=False needs test_cfg.mode='tile' without blending, where each pixel is one "
            f"tile's; got mode={mode!r}, blending={blending!r}"
        )
    if model.with_regions:
        if model.vote:
            raise ValueError(
                'test_cfg.keep_logits=False leaves no class probabilities of the picture, which test_cfg.vote '
                'needs: set keep_logits=True, or vote=False'
            )
        model.fine_branch.require_windows()
