"""Pictures annotated in COCO's format: supercategories are segmented, categories are fine classes."""

import os
import unicodedata
from collections import Counter
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from mmengine import fileio

from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import TaxonomyError
from deepunetto_mm.utils.errors import DataError

from .coarse_fine_dataset import CoarseFineDataset
from .coco_files import CocoFile, read_coco
from .file_names import FileNames


@DATASETS.register_module()
class CocoFineDataset(CoarseFineDataset):
    """Pictures and one JSON file in COCO's format, of instances or panoptic, as mmdetection reads it.

    .. code-block:: none

        data_root/
          annotations/instances_train2017.json      ann_file
          train2017/000000000009.jpg                pictures        data_prefix['img_path']
          annotations/panoptic_train2017/*.png      panoptic maps   data_prefix['seg_map_path'], if ann_file is panoptic

    The taxonomy is that of the categories (:meth:`~deepunetto_mm.datasets.coco_files.CocoFile.taxonomy`), unless
    ``metainfo`` has one. In that case a category is the fine or stuff class of the same name, whatever its
    supercategory, and an annotation of any other category is an error.

    The pipeline must have :class:`LoadCocoAnnotations`, which draws the maps. Data samples get ``img_id``, by which
    :class:`~deepunetto_mm.evaluation.CocoMetric` identifies them. With ``test_mode=True`` the file may have no
    annotations, and the maps of a panoptic one may be left out: for prediction only.

    The whole file is checked when the dataset is built, except for the content of panoptic maps.

    Args:
        ann_file: The JSON file, relative to ``data_root``.
        data_prefix: Folders, relative to ``data_root``: ``img_path``, and for a panoptic file ``seg_map_path``.
        metainfo: May have ``taxonomy`` and ``palette``.
        data_root: Folder that the other paths are relative to.
        background: Stuff class of the pixels without annotation. None ignores them, which is right for panoptic maps,
            where they are unknown.
        ignored: Categories whose annotations count for nothing, as crowds do: their pixels are ignored.
        crowd_objects: Take annotations with ``iscrowd=1`` as objects like all others. Annotation tools with a brush,
            such as CVAT, set it for every mask.
        pipeline, test_mode, indices, serialize_data, backend_args: As in :class:`CoarseFineDataset`.
        lazy_init: As in mmengine: read the annotations at first use; but at once if the taxonomy comes from them.

    Raises:
        DataError: If a file is missing, or the annotations contradict themselves, the taxonomy or the other options;
            names the file, the id and the fix.
        TaxonomyError: If the taxonomy is wrong, lacks the background, or does not determine the segmentation class of a
            fine class.
    """

    def __init__(
        self,
        ann_file: str,
        data_prefix: Mapping[str, Optional[str]],
        metainfo: Optional[Mapping[str, Any]] = None,
        data_root: str = '',
        background: Optional[str] = 'background',
        ignored: Sequence[str] = (),
        crowd_objects: bool = False,
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
        indices: Optional[Union[int, Sequence[int]]] = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
        backend_args: Optional[dict] = None,
    ) -> None:
        if data_prefix.get('region_map_path') is not None:
            raise DataError(
                "data_prefix has 'region_map_path'; the regions are those of ann_file: leave it out (panoptic maps are "
                "'seg_map_path')"
            )
        self.background = background
        self.ignored = tuple(unicodedata.normalize('NFC', name) for name in ignored)
        self.crowd_objects = crowd_objects
        self._file: Optional[tuple[CocoFile, list[DataError]]] = None
        metainfo = dict(metainfo or {})
        if metainfo.get('taxonomy') is None:
            self._file = self._read(fileio.join_path(data_root, ann_file), backend_args, lazy_init)
            metainfo['taxonomy'] = self._file[0].taxonomy(background, self.ignored).to_dict()
        super().__init__(
            data_prefix=data_prefix,
            metainfo=metainfo,
            data_root=data_root,
            ann_file=ann_file,
            fine_label_file=None,
            pipeline=pipeline,
            test_mode=test_mode,
            indices=indices,
            serialize_data=serialize_data,
            lazy_init=lazy_init,
            backend_args=backend_args,
            mask_files=data_prefix.get('seg_map_path') is not None,
        )

    def load_data_list(self) -> list[dict]:
        """List the pictures with their annotations, and check that all are there and have labels."""
        survey = self._problems is not None
        (file, problems), self._file = self._file or self._read(self.ann_file, self.backend_args, survey), None
        for problem in problems:
            self._refuse(problem)
        self._note_what_is_ignored(file)
        annotated = self._is_annotated(file)
        background, labels = self._background_label(), self._labels(file)
        data_list = []
        paths = self._locate('img_path', [image['file_name'] for image in file.images])
        maps = self._locate('seg_map_path', list((file.map_names or {}).values()))
        for image in file.images:
            info = dict(
                img_path=paths[image['file_name']],
                img_id=image['id'],
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            if annotated:
                if file.map_names is not None:
                    if image['id'] not in file.map_names:
                        raise DataError(
                            f'{file.path}: no annotation, and so no panoptic map, of image {image["id"]}; remove the '
                            'image'
                        )
                    info['seg_map_path'] = maps[file.map_names[image['id']]]
                info['coco'] = dict(
                    ann_file=file.path,
                    background=background,
                    size=(image['height'], image['width']),
                    annotations=[
                        dict(id=item['id'], label=self._label(item, labels), segmentation=item.get('segmentation'))
                        for item in file.annotations_of(image['id'])
                    ],
                )
            data_list.append(info)
        missing = {
            path
            for key in ('img_path', 'seg_map_path')
            for path in self._missing(file, key, [info[key] for info in data_list if key in info])
        }
        usable = [info for info in data_list if missing.isdisjoint((info['img_path'], info.get('seg_map_path')))]
        self._require_rest(usable)
        return usable

    def get_cat_ids(self, idx: int) -> list[int]:
        """Fine classes of a picture's annotations, for ``ClassBalancedDataset``, without crowds and stuff."""
        annotations = self.get_data_info(idx).get('coco', {}).get('annotations', [])
        first, ignored = len(self.taxonomy.stuff_classes), self.taxonomy.composed_ignore_index
        return sorted({item['label'] - first for item in annotations if first <= item['label'] != ignored})

    @staticmethod
    def _read(path: str, backend_args: Optional[dict], survey: bool) -> tuple[CocoFile, list[DataError]]:
        """The file, and what is wrong with annotations of it where all of that may be asked for."""
        problems: list[DataError] = []
        return read_coco(path, backend_args, problems if survey else None), problems

    def _counts_for_nothing(self, item: Mapping[str, Any]) -> bool:
        return bool(item.get('ignore') or (item.get('iscrowd') and not self.crowd_objects))

    def _label(self, item: Mapping[str, Any], labels: Mapping[int, int]) -> int:
        return self.taxonomy.composed_ignore_index if self._counts_for_nothing(item) else labels[item['category_id']]

    def _note(self, message: str, kind: str) -> None:
        self.notes.append(DataError(message, kind))

    def _note_what_is_ignored(self, file: CocoFile) -> None:
        items = [item for annotations in (file.annotations or {}).values() for item in annotations]
        flags = Counter(
            'ignore' if item.get('ignore') else 'iscrowd' for item in items if self._counts_for_nothing(item)
        )
        if flags['iscrowd']:
            self._note(
                f'{file.path}: {flags["iscrowd"]} of {len(items)} annotations have iscrowd=1 and are ignored: their '
                'pixels count for nothing, and they are not objects; if they are, as of tools with a brush (CVAT), set '
                'crowd_objects=True',
                'crowd annotations',
            )
        if flags['ignore']:
            self._note(
                f'{file.path}: {flags["ignore"]} of {len(items)} annotations have ignore=1: their pixels count for '
                'nothing, and they are not objects',
                'annotations to ignore',
            )
        placeholders = set(file.placeholders) - set(self.ignored) - set(self.taxonomy.composed_classes)
        if placeholders:
            self._note(
                f'{file.path}: the categories {sorted(placeholders)} are supercategories of others and have no '
                'annotation: they are left out',
                'category left out',
            )

    def _is_annotated(self, file: CocoFile) -> bool:
        """Whether the pictures have annotations.

        Raises:
            DataError: If they have none and are not for prediction only, or the options do not match the type of file.
        """
        panoptic, maps = file.map_names is not None, 'seg_map_path' in self.data_prefix
        if not file.images:
            raise DataError(f'{file.path}: lists no image')
        if maps and not panoptic:
            raise DataError(
                f"{file.path}: no panoptic annotations, but data_prefix has 'seg_map_path', the folder of panoptic "
                'maps; leave it out, or use the panoptic file'
            )
        annotated = file.annotations is not None and (maps or not panoptic)
        if not annotated and not self.test_mode:
            raise DataError(
                f'{file.path}: '
                + (
                    "panoptic annotations, but data_prefix has no 'seg_map_path', the folder of their maps; set it"
                    if panoptic
                    else "no 'annotations'; use a file that has them"
                )
                + ' (for prediction only, set test_mode=True)'
            )
        return annotated

    def _labels(self, file: CocoFile) -> dict[int, int]:
        """Composed label, or the ignore index, by category id.

        Raises:
            DataError: If an annotation's category has no label, or ``ignored`` lists an unknown category.
            TaxonomyError: If a fine class does not determine its segmentation class.
        """
        taxonomy, names = self.taxonomy, file.category_names
        strangers = sorted(set(self.ignored) - set(names.values()))
        if strangers:
            raise DataError(
                f'{file.path}: no category {strangers}, listed in ignored; there are {list(names.values())}'
            )
        labels = {id_: taxonomy.composed_ignore_index for id_, name in names.items() if name in self.ignored}
        for id_, name in names.items():
            if id_ not in labels and name in taxonomy.composed_classes:
                labels[id_] = taxonomy.composed_classes.index(name)
                if taxonomy.class_of_composed[labels[id_]] < 0:
                    raise TaxonomyError(
                        f'{name!r}, a category of {file.path}, does not determine the member of its group for a pixel; '
                        'give the group one member, or one of that name'
                    )
        lost = Counter(
            names[item['category_id']]
            for items in (file.annotations or {}).values()
            for item in items
            if item['category_id'] not in labels and not self._counts_for_nothing(item)
        )
        if lost:
            raise DataError(
                f'{file.path}: annotations have categories {dict(lost)} (number of annotations), which are not fine or '
                f'stuff classes of the taxonomy; it has {list(taxonomy.composed_classes)}. Add them, or list them in '
                'ignored'
            )
        return labels

    def _background_label(self) -> int:
        taxonomy = self.taxonomy
        if self.background is None:
            return taxonomy.composed_ignore_index
        if self.background not in taxonomy.stuff_classes:
            raise TaxonomyError(
                f'background={self.background!r} is not a stuff class of the taxonomy; it has '
                f'{list(taxonomy.stuff_classes)} (None ignores what no annotation covers)'
            )
        return taxonomy.stuff_classes.index(self.background)

    def _locate(self, key: str, names: Sequence[str]) -> dict[str, str]:
        """Path of each file of a folder by its name, which may be in another form on the disk."""
        folder = self.data_prefix.get(key)
        if folder is None:
            return {}
        paths = {name: fileio.join_path(folder, name) for name in names}
        absent = [name for name, path in paths.items() if not fileio.exists(path, backend_args=self.backend_args)]
        if absent and self.backend_args is None and os.path.isdir(folder):
            files = FileNames(fileio.list_dir_or_file(folder, list_dir=False, recursive=True))
            found = {name: files.find(name) for name in absent}
            paths.update((name, fileio.join_path(folder, file)) for name, file in found.items() if file is not None)
        return paths

    def _missing(self, file: CocoFile, key: str, paths: Sequence[str]) -> list[str]:
        missing = [path for path in paths if not fileio.exists(path, backend_args=self.backend_args)]
        for path in missing:
            self._fault(
                f'{path}: no such file, but {file.path} lists it ({len(missing)} of {len(paths)} are missing); '
                f"fix data_root or data_prefix['{key}']",
                'missing file',
            )
        return missing
