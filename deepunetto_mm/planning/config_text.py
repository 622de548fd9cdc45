"""The config of a plan: Python that people read and change, each choice with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from deepunetto_mm.annotations import WrittenDataset

from .decisions import Decisions
from .fingerprint import Fingerprint

_WIDTH = 116
_NORM = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
_RESNET = dict(
    type='mmpretrain.ResNet_CIFAR',
    depth=18,
    in_channels=3,
    stem_channels=32,
    base_channels=32,
    strides=(2, 2, 2, 2),
    out_indices=(0, 1, 2, 3),
    style='pytorch',
)
_LITE0 = dict(
    type='mmpretrain.TIMMBackbone',
    model_name='tf_efficientnet_lite0',
    features_only=True,
    init_cfg=dict(type='deepunetto_mm.EfficientNetLite0Weights'),
)
_FINE_RATE, _FINE_STEPS = 5e-5, 920
_WITHOUT_CROPS = dict(crop_neck=None, fine_backbone=None, fine_head=None)


def loading(dataset: WrittenDataset, data: Fingerprint) -> tuple[dict, list[dict]]:
    """The transform that reads a picture, and those that read its annotation."""
    picture: dict[str, Any] = dict(type='LoadImageFromFile')
    if data.bits > 8:
        picture = dict(type='deepunetto_mm.LoadScaledImage', low=round(data.low, 4), high=round(data.high, 4))
    return picture, dataset.annotation_transforms(min_area=4)


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
) -> str:
    """The whole file; ``steps`` are those of an epoch, ``start`` a checkpoint of weights to start with."""
    base = 'efficientnet-lite0' if chosen.encoder == 'efficientnet-lite0' else 'resnet18-cifar'
    parts = [
        _comment(f'{title} Written by tools/plan.py: change what you know better.'),
        _assign(
            '_base_',
            [
                'deepunetto_mm::_base_/default_runtime.py',
                f'deepunetto_mm::_base_/models/deepunetto_{base}.py',
                'deepunetto_mm::_base_/schedules/epochs20.py',
            ],
        ),
        _data(dataset, data, chosen),
        _model(dataset, chosen),
        _schedule(chosen, epochs, val_interval, epochs_why, steps),
    ]
    if start is not None:
        parts.append(
            _comment('What was kept of the trained network is in plan.txt.') + _assign('load_from', str(start))
        )
    return '\n'.join(part.rstrip() + '\n' for part in parts)


def fold_text(name: str, number: int, folds: int) -> str:
    """The config of a fold: that of the plan, with other pictures."""
    parts = [_comment(f'Fold {number} of {folds}: {name}.py, with other pictures to validate.')]
    parts.append(_assign('_base_', f'./{name}.py'))
    for split in ('train', 'val'):
        parts.append(_assign(f'{split}_dataloader', dict(dataset=dict(ann_file=f'{split}_fold{number}.txt'))))
    return ''.join([*parts, 'test_dataloader = val_dataloader\n'])


def _data(dataset: WrittenDataset, data: Fingerprint, chosen: Decisions) -> str:
    why = chosen.why
    picture, annotation = loading(dataset, data)
    load = [picture] + [dict(type='deepunetto_mm.ChromaticAdaptation')] * chosen.adapt
    fields = dataset.to_config()
    taxonomy = dict(fields['metainfo']['taxonomy'])
    if taxonomy['ignore_index'] == 255:
        del taxonomy['ignore_index']
    fields.update(data_root=_Code('data_root'), metainfo=_Code('dict(taxonomy=taxonomy)'))
    del fields['ann_file']
    width, height = (round(side * chosen.scale) for side in data.size)
    pack = dict(type='deepunetto_mm.PackRegionInputs', min_area=4)
    train: list[Any] = [_Code('*_load'), _Code('*_annotate')]
    comments = [f'{_first_upper(why["jitter"])}.']
    if chosen.jitter is not None:
        train.append(dict(type='RandomResize', scale=(width, height), ratio_range=chosen.jitter, keep_ratio=True))
    elif chosen.scale != 1:
        train.append(dict(type='Resize', scale_factor=chosen.scale, keep_ratio=True))
    comments.append(f'Crops: {why["crop"]}. Objects are {why["flips"]}.')
    train += [
        dict(type='deepunetto_mm.RandomCrop', crop_size=chosen.crop, cat_max_ratio=0.95),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    ]
    if chosen.any_way_up:
        pad = (255, 255, 255) if chosen.adapt else (127, 127, 127)
        train.append(dict(type='RandomRotate', prob=1.0, degree=180, pad_val=pad, seg_pad_val=255))
    comments.append('Colours change little: they may be what distinguishes fine classes.')
    train.append(
        dict(
            type='deepunetto_mm.PhotoMetricDistortion',
            brightness_delta=10 if chosen.adapt else 20,
            contrast_range=(0.85, 1.15),
            saturation_range=(0.85, 1.15),
            hue_delta=4,
        )
    )
    if chosen.proposer == 'centres':
        train.append(dict(type='deepunetto_mm.AddCentreTargets', min_area=4))
    train.append(pack)
    test: list[Any] = [_Code('*_load')]
    if chosen.scale != 1:
        test.append(dict(type='Resize', scale_factor=chosen.scale, keep_ratio=True))
    test += [_Code('*_annotate'), dict(type='deepunetto_mm.PackRegionInputs')]
    loader = dict(num_workers=chosen.workers, persistent_workers=chosen.workers > 0)
    loaders = []
    for split, batch, shuffle, pipeline in (
        ('train', chosen.batch, True, 'train_pipeline'),
        ('val', 1, False, 'test_pipeline'),
    ):
        own: dict[str, Any] = dict(
            batch_size=batch,
            **loader,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            dataset=_Code(f"dict(ann_file='{split}.txt', pipeline={pipeline}, **_dataset)"),
        )
        if split == 'train':
            own['drop_last'] = True
        loaders.append(_assign(f'{split}_dataloader', own))
    metrics: list[dict] = [dict(type='IoUMetric', iou_metrics=['mIoU'])]
    if dataset.taxonomy.groups:
        metrics.append(dict(type='deepunetto_mm.FineGrainedMetric'))
    if chosen.proposer == 'centres':
        metrics.append(dict(type='deepunetto_mm.InstanceAP', thresholds=[0.5, 0.75]))
    return ''.join(
        [
            _comment(
                'What your labels mean: classes of pixels, kinds of objects that are made of them, and their names.'
            ),
            _assign('data_root', fields_root(dataset)),
            _assign('taxonomy', taxonomy),
            '\n',
            _comment(_first_upper(why['adapt']) + '.') if chosen.adapt else '',
            _assign('_load', load),
            _assign('_annotate', annotation),
            _comment(f'Scale {chosen.scale:g}: {why["scale"]}.'),
            *[_comment(text) for text in comments],
            _assign('train_pipeline', train),
            _assign('test_pipeline', test),
            '\n',
            _assign('_dataset', fields),
            _comment(f'{_first_upper(why["batch"])}; loaders: {why["workers"]}.'),
            *loaders,
            'test_dataloader = val_dataloader\n',
            _assign('val_evaluator', metrics),
            'test_evaluator = val_evaluator\n',
        ]
    )


def fields_root(dataset: WrittenDataset) -> str:
    """The dataset's folder, absolute: commands may be given from any folder."""
    return str(Path(dataset.root).resolve())


def _model(dataset: WrittenDataset, chosen: Decisions) -> str:
    why, taxonomy = chosen.why, dataset.taxonomy
    pretrained = chosen.encoder == 'efficientnet-lite0'
    cross_entropy = dict(type='CrossEntropyLoss', class_weight=chosen.class_weight)
    losses = [cross_entropy, dict(type='DiceLoss')] if chosen.dice else [cross_entropy]
    head: dict[str, Any] = dict(num_classes=len(taxonomy.classes), loss_decode=losses)
    model: dict[str, Any] = dict(taxonomy=_Code('taxonomy'))
    lines = [
        f'Encoder {chosen.encoder}: {why["encoder"]}.',
        f'Losses: {why["loss"]}; class weights: {why["class_weight"]}.',
    ]
    size = dict(size=chosen.crop, size_divisor=None)
    model['data_preprocessor'] = size if pretrained else dict(size=chosen.crop)
    if chosen.luminance:
        lines.append('The segmentation sees brightness only, as asked.')
        if pretrained:
            rods = {**_LITE0, 'in_channels': 1}
            model['backbone'] = dict(_delete_=True, type='deepunetto_mm.LuminanceBackbone', **_NORM, backbone=rods)
    elif not pretrained:
        lines.append(
            'The segmentation sees colour: on pictures like those of the training it was better than brightness.'
        )
        model['backbone'] = dict(_delete_=True, **_RESNET)
    model['decode_head'] = head
    if chosen.names == 'nothing':
        lines.append(f'Names: {why["names"]}.')
        model.update(region_proposer=None, **_WITHOUT_CROPS)
    else:
        proposer: dict[str, Any] = dict(min_area=chosen.min_area, max_regions=None)
        if chosen.proposer == 'centres':
            kind = 'deepunetto_mm.CentreOffsetProposer'
            proposer = dict(_delete_=True, type=kind, min_area=chosen.min_area, threshold=0.2)
            # Small objects, and many: with the weights of the paper the heat would outweigh all other losses.
            weights = dict(in_channels=32 if pretrained else 16, heat_weight=20.0, vector_weight=0.1)
            model['dense_heads'] = dict(centres=dict(type='deepunetto_mm.CentreOffsetHead', **weights))
        lines += [f'Regions: {why["proposer"]}; min_area: {why["min_area"]}.', f'Names: {why["names"]}.']
        model['region_proposer'] = proposer
        model.update(_naming(chosen, pretrained, lines, model.get('dense_heads', {})))
    if chosen.tiles:
        lines.append(f'{_first_upper(why["tiles"])}.')
        model['test_cfg'] = dict(mode='tile', tile_size=(1024, 1024), margin=128, size_divisor=32)
    return ''.join([*[_comment(line) for line in lines], _assign('model', model)])


def _naming(chosen: Decisions, pretrained: bool, lines: list[str], heads: dict) -> dict[str, Any]:
    if chosen.names == 'segmentation':
        return dict(_WITHOUT_CROPS)
    if chosen.names == 'map':
        names = dict(type='deepunetto_mm.FineMapHead', in_channels=[40, 112, 320], in_index=(2, 3, 4))
        return dict(dense_heads=dict(heads, names=names), region_names='names.logits', **_WITHOUT_CROPS)
    lines.append(f'Crops: {chosen.why["window"]}.')
    fill: Any = 1.0 if chosen.adapt else 'mean'
    crop: dict[str, Any] = dict(output_size=chosen.crop_size, guidance='none', fill=fill)
    if chosen.window is not None:
        crop['window'] = chosen.window
    else:
        crop['margin'] = 0.2
    model: dict[str, Any] = dict(crop_neck=crop)
    if pretrained:
        crop['in_index'] = ()
        model['fine_backbone'] = dict(_delete_=True, **{**_LITE0, 'out_indices': (4,)})
        model['fine_head'] = dict(in_channels=320)
        model['train_cfg'] = dict(max_regions=32)
    return model


def _schedule(chosen: Decisions, epochs: int, val_interval: int, epochs_why: str, steps: int) -> str:
    pretrained = chosen.encoder == 'efficientnet-lite0'
    warm = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20)
    cosine = dict(type='CosineAnnealingLR', begin=0, end=_Code('_epochs'), eta_min=1e-5, convert_to_iter_based=True)
    keys: dict[str, Any] = {}
    if chosen.encoder_rate != 1:
        keys['backbone'] = dict(lr_mult=chosen.encoder_rate)
        # The longest key in a parameter's name counts, and crops have a backbone, too.
        keys.update(dict(fine_branch=dict(lr_mult=1.0)) if chosen.names == 'crops' else {})
    note = f' {_first_upper(why)}.' if (why := chosen.why.get('encoder_rate', '')) else ''
    if pretrained and chosen.names == 'crops':
        # 5e-5 named most white blood cells in 920 steps; four times that was better at 230 steps, and worse later.
        rate = _FINE_RATE * min(4.0, max(1.0, _FINE_STEPS / (steps * epochs)))
        keys['fine_branch'] = dict(lr_mult=float(f'{rate / chosen.learning_rate:.2g}'))
        note += f' Pretrained crops learn at {rate:.2g}: the more steps, the slower, or names get worse late.'
    optimizer = dict(optimizer=dict(lr=chosen.learning_rate), paramwise_cfg=dict(_delete_=True, custom_keys=keys))
    return ''.join(
        [
            _comment(f'Learning rate: {chosen.why["learning_rate"]}.{note}'),
            _assign('optim_wrapper', optimizer),
            _comment(f'Epochs: {epochs_why}.'),
            f'_epochs = {epochs}\n',
            _assign('param_scheduler', [warm, cosine]),
            f'train_cfg = dict(max_epochs=_epochs, val_interval={val_interval})\n',
            _assign(
                'default_hooks',
                dict(
                    checkpoint=dict(interval=val_interval),
                    logger=dict(interval=10),
                    channels_last=dict(type='deepunetto_mm.ChannelsLastHook'),
                ),
            ),
        ]
    )


class _Code(str):
    """A text that is code, not a string."""


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _comment(text: str) -> str:
    lines, line = [], '#'
    for word in text.split():
        if len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = '#'
        line += f' {word}'
    return '\n'.join([*lines, line]) + '\n'


def _assign(name: str, value: Any) -> str:
    return f'{name} = {_code(value, 0, len(name) + 3)}\n'


def _code(value: Any, indent: int, used: int = 0) -> str:
    """A value as Python, on one line if it fits."""
    if isinstance(value, _Code):
        return str(value)
    flat = _flat(value)
    if len(flat) + indent + used <= _WIDTH or not isinstance(value, (dict, list)) or not value:
        return flat
    inner = ' ' * (indent + 4)
    if isinstance(value, dict):
        rows = [f'{inner}{key}={_code(item, indent + 4, len(key) + 2)},' for key, item in value.items()]
        return 'dict(\n' + '\n'.join(rows) + '\n' + ' ' * indent + ')'
    if all(isinstance(item, (str, int, float)) for item in value):
        rows, row = [], inner
        for item in value:
            text = _flat(item) + ', '
            if len(row) + len(text) > _WIDTH:
                rows.append(row.rstrip())
                row = inner
            row += text
        return '[\n' + '\n'.join([*rows, row.rstrip()]) + '\n' + ' ' * indent + ']'
    return '[\n' + '\n'.join(f'{inner}{_code(item, indent + 4)},' for item in value) + '\n' + ' ' * indent + ']'


def _flat(value: Any) -> str:
    if isinstance(value, _Code):
        return str(value)
    if isinstance(value, dict):
        return 'dict(' + ', '.join(f'{key}={_flat(item)}' for key, item in value.items()) + ')'
    if isinstance(value, list):
        return '[' + ', '.join(map(_flat, value)) + ']'
    if isinstance(value, tuple):
        return '(' + ', '.join(map(_flat, value)) + ',' * (len(value) == 1) + ')'
    return repr(value)
