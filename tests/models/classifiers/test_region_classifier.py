import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpretrain.models import BaseClassifier
from mmpretrain.registry import MODELS
from mmseg.structures import SegDataSample

from deepunetto_mm.models import FineGrainedHead
from deepunetto_mm.models.classifiers import RegionClassifier
from deepunetto_mm.structures import TaxonomyError

TAXONOMY = dict(
    classes=['grass', 'dog', 'cat', 'sky'],
    groups=[
        dict(name='dog', members=['dog'], fine_classes=['poodle', 'boxer']),
        dict(name='cat', members=['cat'], fine_classes=['tabby']),
    ],
)
BOXES = [(1, 1, 9, 7, 1), (10, 8, 18, 16, 2)]
# Norms of GroupNorm, so that a batch equals its pictures.
BACKBONE = dict(
    type='mmpretrain.ResNet_CIFAR',
    depth=18,
    stem_channels=8,
    base_channels=8,
    style='pytorch',
    norm_cfg=dict(type='GN', num_groups=2),
)
FPN = dict(type='mmseg.FPN', in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4)
HEAD = dict(type='deepunetto_mm.FineGrainedHead')
ARCFACE = dict(type='deepunetto_mm.FineClsHead', head=dict(type='ArcFaceClsHead', in_channels=64))
PICTURE = dict(
    crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=16, guidance='hard'),
    backbone=BACKBONE,
    head=dict(HEAD, in_channels=64),
)
LEVELS = dict(
    crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=4, picture=False, in_index=(0, 1, 2, 3)),
    backbone=dict(BACKBONE, out_indices=(0, 1, 2, 3)),
    neck=FPN,
    head=dict(HEAD, in_channels=32),
)
FEATURES = dict(
    crop_neck=dict(
        type='deepunetto_mm.MaskGuidedRoICrop', output_size=4, picture=False, in_index=(1,), guidance='hard'
    ),
    backbone=dict(BACKBONE, out_indices=(0, 1)),
    head=dict(HEAD, in_channels=16),
)
VARIANTS = dict(
    picture=PICTURE,
    pooled=dict(PICTURE, neck=dict(type='mmpretrain.GlobalAveragePooling'), head=ARCFACE),
    levels=LEVELS,
    features=FEATURES,
)

pytestmark = pytest.mark.usefixtures('mmseg_scope')
each_variant = pytest.mark.parametrize('variant', VARIANTS)


def _build(variant, **options):
    torch.manual_seed(0)
    model = RegionClassifier(TAXONOMY, **VARIANTS[variant], **options)
    model.init_weights()
    return model


def _item(boxes=BOXES, fine=(1, 2), size=(16, 20), ignored=()):
    """A picture and its sample; ``boxes`` are (x1, y1, x2, y2, class)."""
    labels, region_map = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    for number, (x1, y1, x2, y2, label) in enumerate(boxes, 1):
        labels[y1:y2, x1:x2], region_map[y1:y2, x1:x2] = label, number
    for y, x in ignored:
        labels[y, x] = 255
    sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, img_path='pets.png'))
    sample.gt_sem_seg = PixelData(data=labels[None])
    sample.gt_region_map = PixelData(data=region_map[None])
    sample.gt_regions = InstanceData(
        ids=torch.arange(1, len(boxes) + 1),
        labels=torch.tensor([box[4] - 1 for box in boxes], dtype=torch.long),
        fine_labels=torch.tensor(fine[: len(boxes)], dtype=torch.long),
        bboxes=torch.tensor([box[:4] for box in boxes], dtype=torch.float32).reshape(-1, 4),
    )
    return torch.rand(3, *size), sample


def _batch(*items):
    return torch.stack([picture for picture, _ in items]), [sample for _, sample in items]


@each_variant
def test_exact_loss_keys_and_a_gradient_for_every_parameter(variant):
    model = _build(variant)
    assert isinstance(model, BaseClassifier)
    inputs, samples = _batch(_item(), _item([]), _item(BOXES[:1], [-1]))
    losses = model(inputs, samples, mode='loss')
    assert set(losses) == {'loss_cls', 'acc'}
    losses['loss_cls'].backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    # The coarser maps of a backbone that nothing is cropped from.
    assert all(
        variant == 'features' and name.startswith(('features.backbone.layer3', 'features.backbone.layer4'))
        for name in missing
    )
    assert torch.isfinite(losses['loss_cls'])


@each_variant
def test_without_regions_the_keys_stay_and_every_parameter_is_reached(variant):
    model = _build(variant)
    inputs, samples = _batch(_item([]), _item([]))
    losses = model(inputs, samples, mode='loss')
    assert losses == dict(loss_cls=0, acc=0)
    losses['loss_cls'].backward()
    assert all(parameter.grad is not None for parameter in model.head.parameters())
    assert all(parameter.grad is not None for parameter in model.backbone.layer1.parameters())
    model.eval()
    for sample in model(inputs, samples, mode='predict'):
        assert len(sample.pred_regions) == 0
        assert (sample.pred_fine_seg.data == 0).all()


@each_variant
def test_a_batch_is_named_as_picture_by_picture(variant):
    model = _build(variant).eval()
    items = [_item(), _item([]), _item(BOXES[1:], [2])]
    together = model(*_batch(*items), mode='predict')
    scores = [sample.pred_regions.fine_scores.clone() for sample in together]
    model.fine_branch.crops_per_pass = 1
    for item, expected in zip(items, scores):
        (alone,) = model(*_batch(item), mode='predict')
        torch.testing.assert_close(alone.pred_regions.fine_scores, expected)


def test_crops_of_the_picture_are_what_the_backbone_sees():
    model = _build('picture').eval()
    inputs, samples = _batch(_item())
    crops = model.crop_neck([samples[0].gt_regions], samples[0].gt_region_map.data, inputs)
    logits = model.head(model.backbone(crops))
    torch.testing.assert_close(model(inputs, samples), logits)
    (sample,) = model(inputs, samples, mode='predict')
    expected = torch.zeros(2, 3)
    expected[0, :2], expected[1, 2] = logits[0, :2].softmax(0), 1
    torch.testing.assert_close(sample.pred_regions.fine_scores, expected)


def test_crops_of_feature_maps_are_what_the_head_sees():
    model = _build('levels').eval()
    inputs, samples = _batch(_item())
    feats = model.neck(model.backbone(inputs))
    crops = model.crop_neck(
        [samples[0].gt_regions], samples[0].gt_region_map.data, feats=feats, group_probs=torch.ones(1, 2, 16, 20)
    )
    assert crops.shape == (2, 32, 4, 4)
    torch.testing.assert_close(model(inputs, samples), model.head([crops]))


def test_given_masks_are_certain():
    hard, soft = _build('picture').eval(), _build('picture').eval()
    soft.crop_neck.guidance = 'soft'
    batch = _batch(_item())
    torch.testing.assert_close(soft(*batch), hard(*batch))


def test_what_is_predicted_of_a_picture():
    model = _build('picture').eval()
    _, sample = item = _item(ignored=[(0, 0), (2, 3)])
    inputs, samples = _batch(item)
    model(inputs, samples, mode='predict')
    regions = sample.pred_regions
    assert regions.ids.tolist() == [1, 2]
    assert regions.labels.tolist() == [0, 1]
    assert regions.scores.tolist() == [1, 1]
    assert regions.areas.tolist() == [48, 64]
    assert regions.bboxes.tolist() == [[1, 1, 9, 7], [10, 8, 18, 16]]
    assert (sample.pred_region_map.data == sample.gt_region_map.data).all()
    assert (sample.pred_sem_seg.data == sample.gt_sem_seg.data).all()
    # Composed: grass, sky, poodle, boxer, tabby; and what is ignored stays so.
    fine = sample.pred_fine_seg.data[0]
    assert fine[0, 0] == fine[2, 3] == 255
    assert fine[1, 1] == 2 + regions.fine_labels[0]
    assert fine[15, 17] == 4
    assert fine[0, 5] == 0


@pytest.mark.parametrize(('stuff', 'expected'), [((0, 3), [0, 1, 4, 0]), ((3,), [4, 0, 3, 0]), ((), [3, 255, 2, 255])])
def test_pixels_outside_of_regions(stuff, expected):
    """The name that their class implies, or else the first stuff class; without any they are ignored."""
    groups = TAXONOMY['groups']
    if 0 not in stuff:
        groups = [*groups, dict(name='grass', members=['grass'], fine_classes=['lawn'])]
    if 3 not in stuff:
        groups = [*groups, dict(name='sky', members=['sky'], fine_classes=['blue', 'grey'])]
    model = RegionClassifier(dict(TAXONOMY, groups=groups), **PICTURE).eval()
    _, sample = item = _item(BOXES[:1])
    sample.gt_sem_seg.data[0, 0, :4] = torch.tensor([0, 3, 2, 1])
    model(*_batch(item), mode='predict')
    assert sample.pred_fine_seg.data[0, 0, :4].tolist() == expected


def test_predictions_are_scored_by_the_metrics_of_regions():
    model = _build('picture').eval()
    inputs, samples = _batch(_item(), _item([]), _item(fine=(-1, 2)))
    evaluator = Evaluator([dict(type='deepunetto_mm.FineGrainedMetric'), dict(type='deepunetto_mm.PictureAccuracy')])
    evaluator.dataset_meta = dict(taxonomy=TAXONOMY)
    predicted = model(inputs, samples, mode='predict')
    evaluator.process(predicted)
    scores = evaluator.evaluate(3)
    assert scores['fine/found'] == 100
    # Both cats are tabbies by necessity, the dog is right or wrong.
    right = 2 + int(predicted[0].pred_regions.fine_labels[0] == 1)
    assert scores['fine/recognition'] == round(100 * right / 3, 2)


def test_regions_of_a_flipped_picture():
    """The map stays in the frame of the original picture, as test pipelines leave it."""
    model = _build('picture').eval()
    picture, sample = _item()
    sample.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    inputs = picture.flip(2)[None]
    flipped = model(inputs, [sample], mode='predict')[0].pred_regions
    boxes = [(20 - x2, y1, 20 - x1, y2, label) for x1, y1, x2, y2, label in BOXES]
    by_hand = model(inputs, [_item(boxes)[1]], mode='predict')[0].pred_regions
    torch.testing.assert_close(flipped.fine_scores, by_hand.fine_scores)
    assert flipped.bboxes.tolist() == [list(box[:4]) for box in BOXES]


def test_the_number_of_regions_in_training_can_be_limited():
    model = _build('picture', max_regions=1)
    seen = []
    model.crop_neck.register_forward_hook(lambda *args: seen.append(len(args[-1])))
    model(*_batch(_item(), _item()), mode='loss')
    assert seen == [1]


def test_pads_as_mmseg_does():
    model = _build('picture', data_preprocessor=dict(size_divisor=32))
    batch = model.data_preprocessor(dict(inputs=[255 * _item()[0]], data_samples=[_item()[1]]), training=True)
    assert batch['inputs'].shape == (1, 3, 32, 32)
    assert torch.isfinite(model(**batch, mode='loss')['loss_cls'])


def test_in_a_config_of_mmpretrains():
    """Unprefixed types are mmpretrain's, and so are what heads ask for by default."""
    init_default_scope('mmpretrain')
    backbone = dict(BACKBONE, type='ResNet_CIFAR')
    model = MODELS.build(
        dict(PICTURE, type='deepunetto_mm.RegionClassifier', taxonomy=TAXONOMY, backbone=backbone, head=ARCFACE)
    )
    losses = model(*_batch(_item(), _item([])), mode='loss')
    assert losses['loss_cls'] > 0


def test_checkpoints_carry_the_taxonomy():
    groups = [dict(TAXONOMY['groups'][0], fine_classes=['boxer', 'poodle']), TAXONOMY['groups'][1]]
    other = RegionClassifier(dict(TAXONOMY, groups=groups), **PICTURE)
    with pytest.raises(TaxonomyError, match='another taxonomy'):
        other.load_state_dict(_build('picture').state_dict())


@each_variant
def test_backbone_and_neck_are_initialised_as_their_configs_say(variant):
    init = dict(type='Constant', layer='Conv2d', val=0.25)
    parts = {part: dict(VARIANTS[variant][part], init_cfg=init) for part in ('backbone',)}
    if VARIANTS[variant].get('neck') is FPN:
        parts['neck'] = dict(FPN, init_cfg=init)
    model = RegionClassifier(TAXONOMY, **dict(VARIANTS[variant], **parts))
    model.init_weights()
    kernels = [own for name in parts for own in getattr(model, name).parameters() if own.dim() == 4]
    assert len(kernels) > 3
    assert all((own == 0.25).all() for own in kernels)


def test_ignored_pixels_of_more_than_255_names():
    """255, which masks ignore, is then a name."""
    fine = [f'breed {index}' for index in range(260)]
    taxonomy = dict(classes=['grass', 'dog'], groups=[dict(name='dog', members=['dog'], fine_classes=fine)])
    model = RegionClassifier(taxonomy, **PICTURE).eval()
    picture, sample = _item([BOXES[0]], [3], ignored=[(0, 0)])
    result = model.predict(picture[None], [sample])[0]
    assert result.pred_fine_seg.data[0, 0, 0] == model.taxonomy.composed_ignore_index == 32767


def test_errors():
    crop = dict(type='deepunetto_mm.MaskGuidedRoICrop', in_index=(0,))
    with pytest.raises(ValueError, match='either seen by the backbone or cut out of its maps'):
        RegionClassifier(TAXONOMY, **dict(PICTURE, crop_neck=crop))
    model = _build('picture')
    with pytest.raises(ValueError, match='names the regions of data samples'):
        model(torch.rand(1, 3, 16, 16))
    sample = SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(16, 16), img_shape=(16, 16)))
    for mode in ('loss', 'tensor', 'predict'):
        with pytest.raises(
            ValueError, match=r'a\.png: its annotated regions are needed, .* Add .*LoadRegions'
        ) as error:
            model(torch.rand(1, 3, 16, 16), [sample], mode=mode)
        assert 'oracle' not in str(error.value)


def test_the_head_knows_the_taxonomy():
    head = _build('picture').head
    assert isinstance(head, FineGrainedHead)
    assert head.taxonomy.fine_classes == ('poodle', 'boxer', 'tabby')


def test_a_batch_of_several_sizes():
    model = _build('picture').eval()
    items = [_item(), _item(size=(24, 20)), _item()]
    with torch.no_grad():
        samples = model.val_step(dict(inputs=[item[0] for item in items], data_samples=[item[1] for item in items]))
    assert [sample.pred_region_map.data.shape[1] for sample in samples] == [16, 24, 16]
    assert samples[0].pred_regions.fine_scores.shape == samples[1].pred_regions.fine_scores.shape
