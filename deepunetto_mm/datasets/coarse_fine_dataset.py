"""A user's own pictures: images, masks, optional region maps, and a table of fine labels."""

import os
from functools import cached_property
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence, Union

from mmcv.transforms import Compose, LoadAnnotations, TestTimeAug
from mmengine import fileio
from mmseg.datasets import BaseSegDataset

from deepunetto_mm.registry import DATASETS
from deepunetto_mm.structures import Taxonomy, TaxonomyError
from deepunetto_mm.utils.errors import DataError, suggest
from deepunetto_mm.utils.files import read_text

from .file_names import FileNames, is_hidden, left_out
from .integrity import PATHS, require_decodable, require_sound
from .label_table import ImageNames, read_label_table
from .transforms import LoadComposedAnnotations

_SUGGESTIONS = 20  # of a survey: each looks through the names of all pictures


@DATASETS.register_module()
class CoarseFineDataset(BaseSegDataset):
    """Pictures with segmentation masks and fine labels by image or by region.

    .. code-block:: none

        data_root/
          images/train/001.png      pictures                                   data_prefix['img_path']
          masks/train/001.png       8-bit, a segmentation class index a pixel  data_prefix['seg_map_path']
          regions/train/001.png     optional, a region id a pixel, 0 for none  data_prefix['region_map_path']
          labels.csv                image,fine_class[,region][,split]          fine_label_file

    Masks and region maps have the name of their picture, with their own suffix. Without region maps, the regions of a
    picture are the connected components of its mask. ``docs/data_format.md`` describes the format with an example.

    The lists of files and the table are checked when the dataset is built, the content of pictures when they are read.

    For a table row about a whole picture, the sample has ``gt_label``, the index of the fine class, which mmpretrain's
    ``PackInputs`` and classifiers use: classifiers train on the same folders. If the pipeline ends with ``PackInputs``,
    ``metainfo['classes']`` are the fine classes, as mmpretrain expects.

    Args:
        data_prefix: Folders, relative to ``data_root``: ``img_path``, ``seg_map_path`` (optional in test mode, for
            prediction only; the pipeline's ``LoadAnnotations`` is then skipped) and ``region_map_path`` (optional).
            None means left out.
        metainfo: Must have ``taxonomy``, the config form of :class:`~deepunetto_mm.structures.Taxonomy`, unless a
            subclass's ``METAINFO`` has it; may have ``palette``. ``classes`` come from the taxonomy.
        data_root: Folder that the other paths are relative to.
        ann_file: Optional text file that lists the pictures to use, one name per line, with or without suffix; blank
            lines are ignored. All by default.
        img_suffix: Suffix of the pictures.
        seg_map_suffix: Suffix of the masks.
        region_map_suffix: Suffix of the region maps.
        fine_label_file: Table of fine labels, relative to ``data_root``; None means that there are no fine labels. Not
            read for prediction only.
        split: The rows of this dataset in a table that has the column ``split``.
        pipeline: Transforms, as in mmengine.
        test_mode: Whether the pictures are for testing or prediction rather than training.
        reduce_zero_label: As in mmseg: mask value 0 is ignored and value i + 1 means class i.
        indices: Use only the first ``indices`` pictures, or those of these indices.
        serialize_data: As in mmengine: keep the list of pictures in memory that workers share.
        lazy_init: As in mmengine: read the lists of files at first use.
        backend_args: Options of mmengine's file backends.
        mask_files: False if the pipeline makes the masks, as :class:`LoadThresholdAnnotations` does: ``seg_map_path``
            and ``region_map_path`` must be left out, also in training, and the table of fine labels is read.

    Raises:
        DataError: If files are missing or the table is wrong; names the file, the line and the fix.
        TaxonomyError: If ``metainfo`` has no taxonomy, a wrong one, or other classes than the taxonomy.
    """

    def __init__(
        self,
        data_prefix: Mapping[str, Optional[str]],
        metainfo: Optional[Mapping[str, Any]] = None,
        data_root: str = '',
        ann_file: str = '',
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        region_map_suffix: str = '.png',
        fine_label_file: Optional[str] = 'labels.csv',
        split: Optional[str] = None,
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
        reduce_zero_label: bool = False,
        indices: Optional[Union[int, Sequence[int]]] = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
        backend_args: Optional[dict] = None,
        mask_files: bool = True,
    ) -> None:
        prefix = {key: folder for key, folder in data_prefix.items() if folder is not None}
        unknown = sorted(set(prefix) - set(PATHS))
        if unknown or 'img_path' not in prefix:
            raise DataError(
                f'data_prefix has the keys {sorted(prefix)}; allowed are {list(PATHS)}, the first one is required'
            )
        if not mask_files and len(prefix) > 1:
            raise DataError(
                f'data_prefix has {sorted(prefix)}, but mask_files=False means that there are only pictures; leave '
                'out the other folders, or the option'
            )
        if mask_files and 'seg_map_path' not in prefix and (not test_mode or 'region_map_path' in prefix):
            raise DataError(
                "data_prefix has no 'seg_map_path', the folder of masks; it can be left out for prediction "
                "only: with test_mode=True and without 'region_map_path' (or with mask_files=False, if the pipeline "
                'makes the masks)'
            )
        if split is not None and fine_label_file is None:
            raise DataError(
                f'split={split!r} selects rows of a table, but fine_label_file=None means that there is no table; '
                'leave out split, or name the table (data_prefix has the folders of a split)'
            )
        self.mask_files = mask_files
        self.region_map_suffix = region_map_suffix
        self.fine_label_file = fine_label_file and fileio.join_path(data_root, fine_label_file)
        self.split = split
        self._problems: Optional[list[DataError]] = None
        self._fine_labels: dict[str, list[int]] = {}
        self.notes: list[DataError] = []  # what is left out or read otherwise than it may be meant; not raised
        super().__init__(
            ann_file=ann_file,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=prefix,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=list(pipeline),
            test_mode=test_mode,
            lazy_init=lazy_init,
            reduce_zero_label=reduce_zero_label,
            backend_args=backend_args,
        )
        self.ignore_index = self.taxonomy.ignore_index
        if mask_files and 'seg_map_path' not in prefix:
            for part in _pipelines(self.pipeline):  # mmseg's transform fails without a mask
                part.transforms = [item for item in part.transforms if not isinstance(item, LoadAnnotations)]
        if self.pipeline.transforms and type(self.pipeline.transforms[-1]).__name__ == 'PackInputs':
            del self._metainfo['palette']
            self._metainfo['classes'] = self.taxonomy.fine_classes
        # Tools of mmseg read it instead of metainfo; that of the class has no classes.
        self.METAINFO = self._metainfo

    def _update_palette(self) -> list[Any]:
        """That of mmseg, whose random colours do not tint the background: black is not drawn."""
        palette = super()._update_palette()
        if self._metainfo.get('palette'):
            return palette
        names = self._metainfo['classes']
        return [[0, 0, 0] if name.lower() == 'background' else colour for name, colour in zip(names, palette)]

    @classmethod
    def _load_metainfo(cls, metainfo: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """Set ``classes`` from the taxonomy, which becomes plain lists and strings, because checkpoints contain it."""
        meta = super()._load_metainfo(metainfo)
        if meta.get('taxonomy') is None:
            raise TaxonomyError(
                "metainfo has no 'taxonomy'; set metainfo=dict(taxonomy=dict(classes=[...], groups=[...]))"
            )
        taxonomy = Taxonomy.from_dict(meta['taxonomy'])
        if tuple(meta.get('classes') or taxonomy.classes) != taxonomy.classes:
            raise TaxonomyError(
                f"metainfo['classes'] are {list(meta['classes'])}, but those of the taxonomy are "
                f"{list(taxonomy.classes)}; leave metainfo['classes'] out"
            )
        meta.update(classes=taxonomy.classes, taxonomy=taxonomy.to_dict())
        return meta

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy of ``metainfo``, built."""
        return Taxonomy.from_dict(self._metainfo['taxonomy'])

    def load_data_list(self) -> list[dict]:
        """List the pictures with their mask, region map and fine labels, and check that all exist."""
        images = self._list_files('img_path', self.img_suffix)
        if self.ann_file and not os.path.isfile(self.ann_file):
            raise DataError(
                f'{self.ann_file}: no such file; ann_file lists the pictures to use, leave it out to use all'
            )
        if self.ann_file:
            names = self._listed(images)
        else:
            names = sorted(images, key=lambda name: name + self.img_suffix)
            self._note_left_out()
        files = {
            key: self._files_of(key, suffix, what, names)
            for key, suffix, what in (
                ('seg_map_path', self.seg_map_suffix, 'mask'),
                ('region_map_path', self.region_map_suffix, 'region map'),
            )
            if key in self.data_prefix
        }
        table = self._read_labels(images)
        usable = [name for name in names if all(name in found for found in files.values())]
        self._require_rest(usable)
        data_list = []
        for name in usable:
            info: dict[str, Any] = dict(
                img_path=fileio.join_path(self.data_prefix['img_path'], name + self.img_suffix),
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            info.update((key, found[name]) for key, found in files.items())
            names_of_regions = table[name].names if name in table else None
            info['region_names'] = names_of_regions
            if isinstance(names_of_regions, str):
                info['gt_label'] = self.taxonomy.fine_index(names_of_regions)
            data_list.append(info)
        return data_list

    def survey(self) -> list[DataError]:
        """Prepare the dataset with the usable pictures, and return all errors of the lists and the table.

        Call it on a dataset that was built with ``lazy_init=True``; otherwise the first error is raised when the
        dataset is built.

        Returns:
            An error for each missing file and wrong row, under the kinds ``missing file`` and ``fine label``.

        Raises:
            DataError: If an error leaves no usable picture.
        """
        self._problems = []
        self.full_init()
        return self._problems

    def get_data_info(self, idx: int) -> dict:
        """The data list's entry of a picture, with the taxonomy."""
        info = super().get_data_info(idx)
        info['taxonomy'] = self.taxonomy
        if self._masks_have_names:
            info['mask_bits'] = 16  # mmseg's LoadAnnotations reads 8
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Annotated fine classes of a picture, by which mmengine's ``ClassBalancedDataset`` repeats pictures.

        They come from the table of fine labels. Without a table, and with :class:`LoadComposedAnnotations`, they are
        read from the picture's masks, as the pipeline loads them.
        """
        info = self.get_data_info(idx)
        names, path = info['region_names'], info['img_path']
        if self.fine_label_file is not None and not self._masks_have_names:
            listed = [names] if isinstance(names, str) else list((names or {}).values())
            return sorted({self.taxonomy.fine_index(name) for name in listed})
        if path not in self._fine_labels:  # mmengine asks twice
            results = self._run(info, self._load_regions)
            labels = results['regions']['fine_labels'].tolist() if 'regions' in results else []
            self._fine_labels[path] = sorted({label for label in labels if label >= 0})
        return self._fine_labels[path]

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a picture; errors name the picture's files."""
        return self._run(self.get_data_info(idx), self.pipeline)

    @cached_property
    def _masks_have_names(self) -> bool:
        return any(
            isinstance(item, LoadComposedAnnotations) for part in _pipelines(self.pipeline) for item in part.transforms
        )

    def _load_regions(self, results: Optional[dict]) -> Optional[dict]:
        """Run the pipeline up to the transform that adds the regions."""
        for transform in (item for part in _pipelines(self.pipeline) for item in part.transforms):
            if results is None or 'regions' in results:
                break
            if not isinstance(transform, TestTimeAug):  # its own transforms follow
                results = transform(results)
        return results

    def _run(self, info: dict, pipeline: Callable[[dict], Any]) -> Any:
        """Run a pipeline, or a part of it, on an entry of the data list; errors name its files."""
        paths = [info[key] for key in PATHS if key in info]
        if self.backend_args is None:
            for key in PATHS:
                require_sound(info, key)
        try:
            results = pipeline(info)
        except (DataError, MemoryError):
            raise
        except Exception as error:
            if self.backend_args is None:
                for key in PATHS:
                    require_decodable(info, key)
            what = f'{type(error).__name__}: {error}'
            raise RuntimeError(f'the pipeline failed on {" with ".join(paths)}: {what}') from error
        if results is None:
            # mmengine would silently use a random picture instead, in validation too.
            raise DataError(
                f'{" with ".join(paths)}: a transform of the pipeline returned None, which drops the sample; remove '
                'the transform, or fix the file (ignore_empty of LoadImageFromFile drops unreadable files)'
            )
        return results

    def _refuse(self, problem: DataError) -> None:
        """Raise an error of a single file or row; or collect it, if all errors are requested."""
        if self._problems is None:
            raise problem
        self._problems.append(problem)

    def _fault(self, message: str, kind: str) -> None:
        self._refuse(DataError(message, kind))

    def _suggest(self, name: str, images: FileNames) -> str:
        return suggest(name, images) if len(self._problems or ()) < _SUGGESTIONS else ''

    def _require_rest(self, usable: Sequence[Any]) -> None:
        if self._problems and not usable:
            raise self._problems[0]

    def _list_files(self, key: str, suffix: str) -> FileNames:
        """Names, without suffix, of all files in a folder that are not hidden."""
        folder = self.data_prefix[key]
        if not fileio.isdir(folder, backend_args=self.backend_args):
            raise DataError(f"{folder}: no such folder; fix data_root or data_prefix['{key}']")
        listed = fileio.list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=self.backend_args)
        files = [file for file in listed if not is_hidden(file)]
        found = FileNames(file.removesuffix(suffix).replace(os.sep, '/') for file in files if file.endswith(suffix))
        if not found:
            endings = sorted({os.path.splitext(file)[1] for file in files})
            raise DataError(
                f'{folder}: none of its {len(files)} files ends in {suffix!r}'
                + (f', they end in {endings}; fix the suffix in the config' if files else '')
            )
        return found

    def _note_left_out(self) -> None:
        """Note unused pictures in the folder, and reject broken links."""
        if self.backend_args is not None:
            return
        folder = self.data_prefix['img_path']
        others = [
            suffix
            for key, suffix in (('seg_map_path', self.seg_map_suffix), ('region_map_path', self.region_map_suffix))
            if self.data_prefix.get(key) == folder
        ]
        links, notes = left_out(folder, self.img_suffix, others)
        for link in links:
            self._refuse(link)
        self.notes += notes

    def _listed(self, images: FileNames) -> list[str]:
        """Pictures listed in ``ann_file``; a name without a picture is an error."""
        lines = [line.strip() for line in read_text(self.ann_file).split('\n')]
        if not any(lines):
            raise DataError(
                f'{self.ann_file}: lists no picture; write one name per line, or leave ann_file out to use all'
            )
        names = []
        for line, name in enumerate(lines, start=1):
            picture = self._picture(name, images)
            if picture is not None:
                names.append(picture)
            elif name:
                self._fault(
                    f'{self.ann_file}, line {line}: no picture {name + self.img_suffix!r} in '
                    f'{self.data_prefix["img_path"]}{self._suggest(name, images)}; fix or remove the line',
                    'missing file',
                )
        return names

    def _picture(self, name: str, images: FileNames) -> Optional[str]:
        """The picture that a list or a table means, which may name it with its suffix."""
        return images.find(name) or images.find(name.removesuffix(self.img_suffix))

    def _files_of(self, key: str, suffix: str, what: str, names: Sequence[str]) -> dict[str, str]:
        """Path of each picture's file in another folder; a missing file is an error."""
        folder, found = self.data_prefix[key], self._list_files(key, suffix)
        files = {name: found.find(name) for name in names}
        without = [name for name, file in files.items() if file is None]
        for name in without:
            missing = fileio.join_path(folder, name + suffix)
            self._fault(
                f'{missing}: no such file, the {what} of picture {name + self.img_suffix!r} '
                f'({len(without)} of {len(names)} pictures have none); write it, or list the pictures to '
                'use in ann_file',
                'missing file',
            )
        return {name: fileio.join_path(folder, file + suffix) for name, file in files.items() if file is not None}

    def _read_labels(self, images: FileNames) -> dict[str, ImageNames]:
        if self.fine_label_file is None or (self.mask_files and 'seg_map_path' not in self.data_prefix):
            return {}
        try:
            table = read_label_table(self.fine_label_file, self.taxonomy, self.split, self.backend_args)
        except DataError as error:
            error.kind = 'fine label'
            self._refuse(error)
            return {}
        obstacle = ''
        if self._masks_have_names:
            obstacle = (
                'LoadComposedAnnotations reads the names of regions from the masks; remove the row, or set '
                'fine_label_file=None'
            )
        elif 'region_map_path' not in self.data_prefix:
            obstacle = "data_prefix has no 'region_map_path'; set the folder of region maps, or label whole images"
        for name, entry in list(table.items()):
            where = f'{self.fine_label_file}, line {entry.line}'
            picture = self._picture(name, images)
            if picture not in (name, None):
                entry = table.pop(name)
                if picture in table:
                    self._fault(
                        f'{where}: {name!r} and the name on line {table[picture].line} are one picture, '
                        f'{picture!r}, with and without suffix, in two forms of Unicode, or with two kinds of '
                        'slashes; keep one of the rows',
                        'fine label',
                    )
                name = picture
                table[name] = entry
            if picture is None:
                self._fault(
                    f'{where}: no picture {name + self.img_suffix!r} in {self.data_prefix["img_path"]}'
                    f'{self._suggest(name, images)}; fix or remove the row',
                    'fine label',
                )
            if isinstance(entry.names, dict) and obstacle:
                self._fault(f'{where}: the row names a region, but {obstacle}', 'fine label')
                del table[name]
        return table


def _pipelines(pipeline: Any) -> Iterator[Compose]:
    """A pipeline, and those within its test-time augmentation."""
    yield pipeline
    for item in pipeline.transforms:
        for view in item.subroutines if isinstance(item, TestTimeAug) else ():
            yield from _pipelines(view)
