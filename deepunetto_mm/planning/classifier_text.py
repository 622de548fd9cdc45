"""The config of a classifier, for pictures of one object each without masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from deepunetto_mm.annotations import WrittenDataset

from .config_text import (
    LITE0,
    NORM,
    RESNET,
    checkpoint_interval,
    fields_of,
    loader_texts,
    loading,
    schedule_text,
)
from .decisions import Decisions
from .fingerprint import Fingerprint
from .python_text import assign, comment, first_upper


def classifier_text(
    title: str,
    dataset: WrittenDataset,
    data: Fingerprint,
    chosen: Decisions,
    epochs: int,
    val_interval: int,
    epochs_why: str,
    steps: int,
    start: Optional[Path] = None,
    with_test: bool = False,
) -> str:
    """The whole file; arguments as of :func:`config_text`. No checkpoint can be started from: ``start`` is None."""
    assert start is None
    why, pretrained = chosen.why, chosen.encoder == 'efficientnet-lite0'
    picture, _ = loading(dataset, data)
    fields, taxonomy = fields_of(dataset)
    fields.update(data_prefix=dict(img_path='images'), mask_files=False)
    squares = dict(crop_ratio_range=(0.43, 1.0), aspect_ratio_range=(1.0, 1.0))
    crop = dict(type='mmpretrain.RandomResizedCrop', scale=chosen.crop[0], **squares)
    train: list[Any] = [picture, crop, dict(type='RandomFlip', prob=0.5)]
    if chosen.any_way_up:
        train.append(dict(type='RandomRotate', prob=1.0, degree=180, pad_val=(127, 127, 127)))
    train.append(dict(type='mmpretrain.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.2, backend='cv2'))
    pack = dict(type='mmpretrain.PackInputs')
    resize = dict(type='mmpretrain.ResizeEdge', scale=round(chosen.scale * min(data.size)), edge='short')
    encoder: dict[str, Any] = {**LITE0, 'features_only': False} if pretrained else {**RESNET, 'out_indices': (3,)}
    encoder['type'] = encoder['type'].removeprefix('mmpretrain.')  # the scope of the whole model
    model = dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', **NORM, to_rgb=True),
        backbone=encoder,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=len(dataset.taxonomy.fine_classes),
            in_channels=1280 if pretrained else 256,
        ),
    )
    hooks = dict(
        timer=dict(type='IterTimerHook'),
        logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
        param_scheduler=dict(type='ParamSchedulerHook'),
        sampler_seed=dict(type='DistSamplerSeedHook'),
        checkpoint=dict(
            type='deepunetto_mm.AtomicCheckpointHook', interval=checkpoint_interval(epochs), max_keep_ckpts=2
        ),
        reproducible=dict(type='deepunetto_mm.ReproducibleHook'),
        non_finite=dict(type='deepunetto_mm.NonFiniteHook'),
        channels_last=dict(type='deepunetto_mm.ChannelsLastHook'),
    )
    return ''.join(
        [
            comment(f'{title} Written by tools/plan.py: change what you know better.'),
            '\n',
            assign(
                '_base_', ['deepunetto_mm::_base_/default_runtime.py', 'deepunetto_mm::_base_/schedules/epochs20.py']
            ),
            '\n',
            comment('What your folders mean: kinds of objects, and their names.'),
            assign('data_root', str(Path(dataset.root).resolve())),
            assign('taxonomy', taxonomy),
            '\n',
            comment(f'Scale {chosen.scale:g}: {why["scale"]}. In training, {why["crop"]}.'),
            comment(f'Pictures are {why["flips"]}.'),
            assign('train_pipeline', [*train, pack]),
            assign('test_pipeline', [picture, resize, pack]),
            '\n',
            assign('_dataset', fields),
            comment(f'{first_upper(why["batch"])}; loaders: {why["workers"]}.'),
            *loader_texts(chosen, with_test),
            assign('val_evaluator', [dict(type='deepunetto_mm.PictureAccuracy')]),
            'test_evaluator = val_evaluator\n',
            '\n',
            comment(f'{first_upper(why["names"])}. Encoder {chosen.encoder}: {why["encoder"]}.'),
            comment('Types without a prefix in the model are those of mmpretrain.'),
            assign('model', model),
            '\n',
            schedule_text(chosen, epochs, val_interval, epochs_why, steps, hooks),
        ]
    )
