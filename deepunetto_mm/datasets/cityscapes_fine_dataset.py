"""Cityscapes with fine annotations, as downloaded."""

from typing import Any, Callable, Mapping, Optional, Sequence, Union

from mmseg.datasets import CityscapesDataset

from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import Taxonomy

from .coarse_fine_dataset import CoarseFineDataset

_GROUPS = dict(human=['person', 'rider'], vehicle=['car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'])
# The official classes, the 11 of stuff first, and their colours; a group has the colour of its most frequent class.
_OFFICIAL = dict(zip(*(CityscapesDataset.METAINFO[key] for key in ('classes', 'palette'))))
_COLOURS = {**_OFFICIAL, 'human': _OFFICIAL['person'], 'vehicle': _OFFICIAL['car']}


@DATASETS.register_module()
class CityscapesFineDataset(CoarseFineDataset):
    """Street scenes of the official download, without any preparation.

    .. code-block:: none

        data_root/
          leftImg8bit/{train,val,test}/CITY/CITY_000000_000019_leftImg8bit.png       pictures
          gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png             an official label id a pixel
          gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_instanceIds.png          26003 a car, 26 a group of cars

    The pipeline must have :class:`LoadComposedAnnotations`, which converts official labels and instances to classes,
    regions and fine labels; ``configs/_base_/datasets/cityscapes.py`` has it. Without ``gtFine`` (for example the test
    split) leave ``seg_map_path`` and ``region_map_path`` out of ``data_prefix``, with ``test_mode=True``.

    The taxonomy has 11 stuff classes and the groups ``human`` and ``vehicle`` of 2 and 6 fine classes, which together
    are the 19 classes of the benchmark in their official order. ``metainfo`` can replace it; if all its classes are
    classes of the benchmark, they have the official colours.

    Args:
        data_prefix: As in :class:`CoarseFineDataset`; by default the training split's.
        metainfo: May have ``taxonomy``, ``palette`` and ``fine_palette``, which replace those described above.
        data_root: Folder of ``leftImg8bit`` and ``gtFine``.
        ann_file, img_suffix, seg_map_suffix, region_map_suffix, pipeline, test_mode, indices, serialize_data,
            lazy_init, backend_args: As in :class:`CoarseFineDataset`.

    Raises:
        DataError: If files are missing; names them.
        TaxonomyError: If the taxonomy of ``metainfo`` is wrong.
    """

    METAINFO = dict(
        taxonomy=dict(
            classes=[*list(_OFFICIAL)[:11], *_GROUPS],
            groups=[dict(name=name, members=[name], fine_classes=fine) for name, fine in _GROUPS.items()],
        )
    )

    def __init__(
        self,
        data_prefix: Mapping[str, Optional[str]] = dict(
            img_path='leftImg8bit/train', seg_map_path='gtFine/train', region_map_path='gtFine/train'
        ),
        metainfo: Optional[Mapping[str, Any]] = None,
        data_root: str = '',
        ann_file: str = '',
        img_suffix: str = '_leftImg8bit.png',
        seg_map_suffix: str = '_gtFine_labelIds.png',
        region_map_suffix: str = '_gtFine_instanceIds.png',
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
        indices: Optional[Union[int, Sequence[int]]] = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
        backend_args: Optional[dict] = None,
    ) -> None:
        super().__init__(
            data_prefix=data_prefix,
            metainfo=metainfo,
            data_root=data_root,
            ann_file=ann_file,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            region_map_suffix=region_map_suffix,
            fine_label_file=None,
            pipeline=pipeline,
            test_mode=test_mode,
            indices=indices,
            serialize_data=serialize_data,
            lazy_init=lazy_init,
            backend_args=backend_args,
        )

    @classmethod
    def _load_metainfo(cls, metainfo: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """Add the official colours if the classes have them and ``metainfo`` has no others."""
        meta = super()._load_metainfo(metainfo)
        taxonomy = Taxonomy.from_dict(meta['taxonomy'])
        for key, names in (('palette', taxonomy.classes), ('fine_palette', taxonomy.fine_classes)):
            if key not in meta and all(name in _COLOURS for name in names):
                meta[key] = [_COLOURS[name] for name in names]
        return meta
