"""The config of a plan: Python that people read and change, each choice with its reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Optional

from deepunetto_mm.annotations import WrittenDataset

from .decisions import Decisions
from .fingerprint import Fingerprint
from .python_text import Code, assign, comment, first_upper

NORM = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
RESNET = dict(
    type='mmpretrain.ResNet_CIFAR',
    depth=18,
    in_channels=3,
    stem_channels=32,
    base_channels=32,
    strides=(2, 2, 2, 2),
    out_indices=(0, 1, 2, 3),
    style='pytorch',
)
LITE0 = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='tf_efficientnet_lite0',
    features_only=True,
    init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
)
_FINE_RATE, _FINE_STEPS = 5e-5, 920
_CHECKPOINTS = 10  # in a training, at most
_WITHOUT_CROPS = dict(crop_neck=None, fine_backbone=None, fine_head=None)


def loading(dataset: WrittenDataset, data: Fingerprint) -> tuple[dict, list[dict]]:
    """The transform that reads a picture, and those that read its annotation."""
    picture: dict[str, Any] = dict(type='LoadImageFromFile')
    if data.bits > 8:
        picture = dict(type='deepunetto_mm.LoadScaledImage', low=round(data.low, 4), high=round(data.high, 4))
    return picture, dataset.annotation_transforms(least_area(dataset))


def least_area(dataset: WrittenDataset) -> int:
    """Pixels of the smallest annotated objects: pieces of a mask of names that are too small to be named are none."""
    named = any(len(group.fine_classes) > 1 for group in dataset.taxonomy.groups)
    return 20 if named and dataset.composed is not None and not dataset.with_regions else 4


def config_text(
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
    """The whole file.

    Args:
        title: Its first line.
        dataset, data, chosen: What is trained on, and how.
        epochs, val_interval, epochs_why: Of the training, with the reason.
        steps: Those of an epoch.
        start: A checkpoint of weights to start with.
        with_test: Whether ``test.txt`` has pictures for the test; else it is of those of ``val.txt``.
    """
    base = 'efficientnet-lite0' if chosen.encoder == 'efficientnet-lite0' else 'resnet18-cifar'
    parts = [
        comment(f'{title} Written by tools/plan.py: change what you know better.'),
        assign(
            '_base_',
            [
                'deepunetto_mm::_base_/default_runtime.py',
                f'deepunetto_mm::_base_/models/deepunetto_{base}.py',
                'deepunetto_mm::_base_/schedules/epochs20.py',
            ],
        ),
        _data(dataset, data, chosen, with_test),
        _model(dataset, chosen),
        schedule_text(chosen, epochs, val_interval, epochs_why, steps),
    ]
    if start is not None:
        parts.append(comment('What was kept of the trained network is in plan.txt.') + assign('load_from', str(start)))
    return '\n'.join(part.rstrip() + '\n' for part in parts)


def fold_text(name: str, number: int, folds: int) -> str:
    """The config of a fold: that of the plan, with other pictures."""
    parts = [comment(f'Fold {number} of {folds}: {name}.py, with other pictures to validate.')]
    parts.append(assign('_base_', f'./{name}.py'))
    for split in ('train', 'val'):
        parts.append(assign(f'{split}_dataloader', dict(dataset=dict(ann_file=f'{split}_fold{number}.txt'))))
    return ''.join([*parts, 'test_dataloader = val_dataloader\n'])


def _data(dataset: WrittenDataset, data: Fingerprint, chosen: Decisions, with_test: bool) -> str:
    why = chosen.why
    picture, annotation = loading(dataset, data)
    load = [picture]
    if chosen.adapt is not None:
        load.append(dict(type='deepunetto_mm.ChromaticAdaptation', percentile=chosen.adapt))
    fields, taxonomy = fields_of(dataset)
    area = least_area(dataset)
    pack = dict(type='deepunetto_mm.PackRegionInputs', min_area=area)
    train: list[Any] = [Code('*_load'), Code('*_annotate')]
    comments = [f'{first_upper(why["jitter"])}.']
    if chosen.jitter is not None:
        # RandomResize would fit all into one size: those of another size would get another scale than in tests.
        sizes = [round(chosen.scale * factor, 2) for factor in chosen.jitter]
        step = "[dict(type='Resize', scale_factor=f, keep_ratio=True)]"
        train.append(dict(type='RandomChoice', transforms=Code(f'[{step} for f in {sizes}]')))
    elif chosen.scale != 1:
        train.append(dict(type='Resize', scale_factor=chosen.scale, keep_ratio=True))
    comments.append(f'Crops: {why["crop"]}. Objects are {why["flips"]}.')
    train += [
        dict(type='deepunetto_mm.RandomCrop', crop_size=chosen.crop, cat_max_ratio=0.95),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    ]
    if chosen.any_way_up and chosen.parts:
        train.append(dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0))
    elif chosen.any_way_up:
        pad = (255, 255, 255) if chosen.adapt == 95 else (127, 127, 127)
        train.append(dict(type='RandomRotate', prob=1.0, degree=180, pad_val=pad, seg_pad_val=255))
    if chosen.names == 'crops':
        comments.append('Colours change little: they may be what distinguishes fine classes.')
        little = dict(contrast_range=(0.85, 1.15), saturation_range=(0.85, 1.15), hue_delta=4)
        brightness = 10 if chosen.adapt == 95 else 20
        train.append(dict(type='deepunetto_mm.PhotoMetricDistortion', brightness_delta=brightness, **little))
    else:
        train.append(dict(type='deepunetto_mm.PhotoMetricDistortion'))
    if chosen.proposer == 'centres':
        train.append(dict(type='deepunetto_mm.AddCentreTargets', min_area=area))
    train.append(pack)
    test: list[Any] = [Code('*_load')]
    if chosen.scale != 1:
        test.append(dict(type='Resize', scale_factor=chosen.scale, keep_ratio=True))
    test += [Code('*_annotate'), dict(type='deepunetto_mm.PackRegionInputs')]
    metrics: list[dict] = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
    if dataset.taxonomy.groups:
        metrics.append(dict(type='deepunetto_mm.FineGrainedMetric'))
    if chosen.proposer == 'centres':
        metrics.append(dict(type='deepunetto_mm.InstanceAP', thresholds=[0.5, 0.75]))
    return ''.join(
        [
            comment(
                'What your labels mean: classes of pixels, kinds of objects that are made of them, and their names.'
            ),
            assign('data_root', str(Path(dataset.root).resolve())),
            assign('taxonomy', taxonomy),
            '\n',
            comment(first_upper(why['adapt']) + '.') if 'adapt' in why else '',
            assign('_load', load),
            assign('_annotate', annotation),
            comment(f'Scale {chosen.scale:g}: {why["scale"]}.'),
            *[comment(text) for text in comments],
            assign('train_pipeline', train),
            assign('test_pipeline', test),
            '\n',
            assign('_dataset', fields),
            comment(f'{first_upper(why["batch"])}; loaders: {why["workers"]}.'),
            *loader_texts(chosen, with_test),
            assign('val_evaluator', metrics),
            'test_evaluator = val_evaluator\n',
        ]
    )


def fields_of(dataset: WrittenDataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the dataset, with the names ``data_root``, an absolute path, and ``taxonomy``; and the taxonomy."""
    fields = dataset.to_config()
    taxonomy = dict(fields['metainfo']['taxonomy'])
    if taxonomy['ignore_index'] == 255:
        del taxonomy['ignore_index']
    fields.update(data_root=Code('data_root'), metainfo=Code('dict(taxonomy=taxonomy)'))
    del fields['ann_file']
    return fields, taxonomy


def loader_texts(chosen: Decisions, with_test: bool) -> list[str]:
    """The loaders, over ``_dataset`` and the two pipelines; without ``test.txt`` the test has those of ``val.txt``."""
    loader = dict(num_workers=chosen.workers, persistent_workers=chosen.workers > 0)
    loaders = []
    for split, batch, shuffle, pipeline in (
        ('train', chosen.batch, True, 'train_pipeline'),
        ('val', 1, False, 'test_pipeline'),
        *[('test', 1, False, 'test_pipeline')] * with_test,
    ):
        own: dict[str, Any] = dict(
            batch_size=batch,
            **loader,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            dataset=Code(f"dict(ann_file='{split}.txt', pipeline={pipeline}, **_dataset)"),
        )
        if split == 'train':
            own['drop_last'] = True
        loaders.append(assign(f'{split}_dataloader', own))
    return [*loaders, *['test_dataloader = val_dataloader\n'] * (not with_test)]


def _model(dataset: WrittenDataset, chosen: Decisions) -> str:
    why, taxonomy = chosen.why, dataset.taxonomy
    pretrained = chosen.encoder == 'efficientnet-lite0'
    cross_entropy: dict[str, Any] = dict(type='CrossEntropyLoss')
    if set(chosen.class_weight) != {1.0}:
        cross_entropy['class_weight'] = chosen.class_weight
    dice = dict(type='DiceLoss') if chosen.dice else dict(type='deepunetto_mm.ClassDiceLoss', stride=2)
    head: dict[str, Any] = dict(num_classes=len(taxonomy.classes), loss_decode=[cross_entropy, dice])
    model: dict[str, Any] = dict(taxonomy=Code('taxonomy'))
    lines = [
        f'Encoder {chosen.encoder}: {why["encoder"]}.',
        f'Losses: {why["loss"]}; class weights: {why["class_weight"]}.',
    ]
    size = dict(size=chosen.crop, size_divisor=None)
    model['data_preprocessor'] = size if pretrained else dict(size=chosen.crop)
    if chosen.luminance:
        lines.append('The segmentation sees brightness only, as asked.')
        if pretrained:
            rods = {**LITE0, 'in_channels': 1}
            model['backbone'] = dict(_delete_=True, type='deepunetto_mm.LuminanceBackbone', **NORM, backbone=rods)
    elif not pretrained:
        lines.append(
            'The segmentation sees colour: on pictures like those of the training it was better than brightness.'
        )
        model['backbone'] = dict(_delete_=True, **RESNET)
    model['decode_head'] = head
    if chosen.names == 'nothing':
        lines.append(f'Names: {why["names"]}.')
        model.update(region_proposer=None, **_WITHOUT_CROPS)
    else:
        area, area_why = least_area(dataset), 'that of the annotated ones'
        if chosen.min_area > area:
            area, area_why = chosen.min_area, why['min_area']
        proposer: dict[str, Any] = dict(min_area=area, max_regions=None)
        if chosen.proposer == 'classes':
            proposer['by_class'] = True
        if chosen.proposer == 'cut':
            proposer['splitter'] = dict(type='deepunetto_mm.DistanceWatershed', neck_ratio=0.5)
        if chosen.proposer == 'names':
            proposer['by_name'] = 'names.logits'
        if chosen.proposer == 'borders':
            kind = 'deepunetto_mm.BorderWatershed'
            # Regions are found at the size of the pictures: a speck of 10 pixels of the network is larger there.
            cut = dict(threshold=0.3, min_seed=max(1, round(10 / chosen.scale**2)), across_groups=True)
            proposer = dict(_delete_=True, type=kind, min_area=area, **cut)
            model['dense_heads'] = dict(borders=dict(type='deepunetto_mm.BorderHead', in_channels=32))
        if chosen.proposer == 'centres':
            kind = 'deepunetto_mm.CentreOffsetProposer'
            proposer = dict(_delete_=True, type=kind, min_area=area, threshold=0.3, window=3)
            # Small objects, and many: with the weights of the paper the heat would outweigh all other losses.
            weights = dict(in_channels=32 if pretrained else 16, heat_weight=20.0, vector_weight=0.1)
            model['dense_heads'] = dict(centres=dict(type='deepunetto_mm.CentreOffsetHead', **weights))
        lines += [f'Regions: {why["proposer"]}; min_area: {area_why}.', f'Names: {why["names"]}.']
        model['region_proposer'] = proposer
        model.update(_naming(chosen, pretrained, lines, model.get('dense_heads', {})))
    if chosen.tiles:
        lines.append(f'{first_upper(why["tiles"])}.')
        model['test_cfg'] = dict(mode='tile', tile_size=(1024, 1024), margin=128, size_divisor=32)
    return ''.join([*[comment(line) for line in lines], assign('model', model)])


def _naming(chosen: Decisions, pretrained: bool, lines: list[str], heads: dict) -> dict[str, Any]:
    if chosen.names == 'segmentation':
        return dict(_WITHOUT_CROPS)
    if chosen.names == 'pixels':
        channels, index = ([24, 40, 112, 320], (1, 2, 3, 4)) if pretrained else ([32, 64, 128, 256], (0, 1, 2, 3))
        names = dict(type='deepunetto_mm.FineMapHead', in_channels=channels, in_index=index, channels=128)
        names.update(dropout_ratio=0.1, class_weight=chosen.name_weight)
        return dict(dense_heads=dict(names=names), region_names='names.logits', **_WITHOUT_CROPS)
    lines.append(f'Crops: {chosen.why["window"]}.')
    fill: Any = 1.0 if chosen.adapt == 95 else 'mean'
    crop: dict[str, Any] = dict(output_size=chosen.crop_size, guidance='none', fill=fill)
    if chosen.window is not None:
        crop['window'] = chosen.window
    else:
        crop['margin'] = 0.2
    model: dict[str, Any] = dict(crop_neck=crop)
    if pretrained:
        crop['in_index'] = ()
        model['fine_backbone'] = dict(_delete_=True, **{**LITE0, 'out_indices': (4,)})
        model['fine_head'] = dict(in_channels=320)
        model['train_cfg'] = dict(max_regions=32)
    if chosen.names == 'map':
        if not chosen.luminance:
            lines.append(
                'The encoder looks twice: at the picture, and at crops of it, with norms and biases of their own.'
            )
            model['fine_backbone'] = 'shared'
        crop['margin'] = 0.25
        model['fine_head']['dropout_ratio'] = 0.2
        if chosen.proposer == 'borders':
            model['fine_head'].update(loss_scope='flat', condition='flat', temperature=2.0)
        model['train_cfg'] = dict(box_jitter=0.15, max_regions=24)
        names = dict(type='deepunetto_mm.FineMapHead', in_channels=[40, 112, 320], in_index=(2, 3, 4))
        model.update(dense_heads=dict(heads, names=names), region_names='names.logits')
    return model


def checkpoint_interval(epochs: int) -> int:
    """Epochs from one checkpoint to the next, however rare validations are: a killed training goes on from the last.

    More would take too long: mmengine formats the config for each, which took 2 seconds of a core, and 11 with
    81 names.
    """
    return math.ceil(epochs / _CHECKPOINTS)


def schedule_text(
    chosen: Decisions, epochs: int, val_interval: int, epochs_why: str, steps: int, hooks: Optional[dict] = None
) -> str:
    """Optimizer, schedule and hooks; ``hooks`` replace all those of the base."""
    pretrained = chosen.encoder == 'efficientnet-lite0'
    warm = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20)
    # By its ratio a rate of 0 stays 0.
    least = dict(eta_min=1e-5) if chosen.encoder_rate else dict(eta_min_ratio=0.01)
    cosine = dict(type='CosineAnnealingLR', begin=0, end=Code('_epochs'), **least, convert_to_iter_based=True)
    keys: dict[str, Any] = {}
    paramwise: dict[str, Any] = dict(_delete_=True, custom_keys=keys)
    if chosen.encoder_rate != 1:
        keys['backbone'] = dict(lr_mult=chosen.encoder_rate)
        # The longest key in a parameter's name counts, and crops have a backbone, too.
        keys.update(dict(fine_branch=dict(lr_mult=1.0)) if chosen.names == 'crops' else {})
    note = f' {first_upper(why)}.' if (why := chosen.why.get('encoder_rate', '')) else ''
    if pretrained and chosen.names == 'crops':
        # 5e-5 named most white blood cells in 920 steps; four times that was better at 230 steps, and worse later.
        rate = _FINE_RATE * min(4.0, max(1.0, _FINE_STEPS / (steps * epochs)))
        keys['fine_branch'] = dict(lr_mult=float(f'{rate / chosen.learning_rate:.2g}'))
        note += f' Pretrained crops learn at {rate:.2g}: the more steps, the slower, or names get worse late.'
    elif pretrained and chosen.names == 'map':
        rate = 1e-4 if chosen.luminance else 2e-4
        keys['fine_backbone'] = dict(lr_mult=float(f'{rate / chosen.learning_rate:.2g}'))
        if not chosen.luminance:
            paramwise['bypass_duplicate'] = True
            note += ' That of crops is for their norms and biases; the kernels have that of the encoder.'
    own = dict(
        checkpoint=dict(interval=checkpoint_interval(epochs)),
        logger=dict(interval=10),
        channels_last=dict(type='deepunetto_mm.ChannelsLastHook'),
    )
    if hooks is not None:
        own = dict(_delete_=True, **hooks)
    if chosen.bf16:
        own['bfloat16'] = dict(type='deepunetto_mm.BFloat16Hook')
        note += f' {first_upper(chosen.why["precision"])}.'
    optimizer = dict(optimizer=dict(lr=chosen.learning_rate), paramwise_cfg=paramwise)
    return ''.join(
        [
            comment(f'Learning rate: {chosen.why["learning_rate"]}.{note}'),
            assign('optim_wrapper', optimizer),
            comment(f'Epochs: {epochs_why}.'),
            f'_epochs = {epochs}\n',
            assign('param_scheduler', [warm, cosine]),
            f'train_cfg = dict(max_epochs=_epochs, val_interval={val_interval})\n',
            assign('default_hooks', own),
        ]
    )
