"""Whether the pictures of a batch have one size."""

import random
from typing import Any, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from deepunetto_mm.utils.config_parts import type_name

from .dataset_report import Finding
from .sample_reader import SampleFacts

_SIZES = 6  # pictures that are put through the whole pipeline


def batch_findings(cfg: Config, trained: Sequence[tuple[BaseDataset, list[tuple[int, SampleFacts]]]]) -> list[Finding]:
    """Whether pictures of the sizes that were read can be in one batch of the training.

    The whole pipeline is run on a few pictures, of each size one, which a preprocessor of mmseg then pads to ``size``.
    Pictures that are larger than that must be of one size.

    Args:
        cfg: The config.
        trained: The training datasets, and by index what was read of them.
    """
    loader, model = cfg.train_dataloader, cfg.get('model') or {}
    preprocessor = model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if (
        type_name(preprocessor) != 'SegDataPreProcessor'
        or preprocessor.get('size') is None
        or loader.get('batch_size', 1) < 2
        or 'collate_fn' in loader
        or 'batch_sampler' in loader  # it may put those of one size together
        or _mixes_pictures(loader.dataset)
    ):
        return []
    inputs: dict[tuple[int, int], str] = {}
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    for dataset, facts in trained:
        of_size = {item.size: index for index, item in reversed(facts) if item.size}
        # And further ones of the same sizes, which a transform may resize by chance.
        chosen = dict.fromkeys([*of_size.values(), *(index for index, item in facts if item.size)])
        for index in list(chosen)[:_SIZES]:
            try:
                shape = dataset[index]['inputs'].shape
            except Exception:  # training reports it
                continue
            height, width = (max(int(own), least) for own, least in zip(shape[-2:], preprocessor['size'][-2:]))
            inputs.setdefault((width, height), str(dataset.get_data_info(index).get('img_path', f'sample {index}')))
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if len(inputs) < 2:
        return []
    (first, path), (second, other) = list(inputs.items())[:2]
    message = (
        f'{path} and {other} cannot be in one batch: after the pipeline, and padded to data_preprocessor.size='
        f'{tuple(preprocessor["size"])}, they are {first[0]}x{first[1]} and {second[0]}x{second[1]} pixels. Put '
        f"dict(type='RandomCrop', crop_size={tuple(preprocessor['size'])}) or Resize into the training pipeline, or "
        'set data_preprocessor=dict(size=None, size_divisor=32), which pads to the largest of a batch, or batch_size=1'
    )
    return [Finding('error', 'sizes of a batch', message)]


def _mixes_pictures(dataset_cfg: Any) -> bool:
    """Whether a wrapper has a pipeline of its own, as that of mosaics."""
    inner = dataset_cfg.get('dataset') if isinstance(dataset_cfg, dict) else getattr(dataset_cfg, 'dataset', None)
    return inner is not None and ('pipeline' in dataset_cfg if isinstance(dataset_cfg, dict) else True)
