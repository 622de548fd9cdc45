"""Pictures in, regions out."""

import copy
import gc
import json
import threading
import weakref

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from pycocotools import mask as coco_mask

from deepunetto_mm.apis import DeepUNettoInferencer, deepunetto_inferencer, picture_batches, picture_sources
from deepunetto_mm.datasets import DataError, RodConeShapes
from deepunetto_mm.structures import TaxonomyError


@pytest.fixture(scope='module')
def tiny_config(repository):
    return Config.fromfile(repository / 'tests' / 'data' / 'tiny_config.py')


@pytest.fixture
def config(tiny_config):
    return copy.deepcopy(tiny_config)


@pytest.fixture(scope='module')
def inferencer(tiny_config):
    torch.manual_seed(0)
    return DeepUNettoInferencer(tiny_config, device='cpu', show_progress=False)


@pytest.fixture
def predicted(inferencer, monkeypatch):
    """Make the network find one region: columns 1 and 2 of every picture. Lists the sizes of its batches."""
    batches = []

    def test_step(batch):
        batches.append([tuple(inputs.shape) for inputs in batch['inputs']])
        for sample in batch['data_samples']:
            region_map = torch.zeros(1, *sample.ori_shape, dtype=torch.long)
            region_map[..., 1:3] = 1
            scores = torch.zeros(1, 12)
            scores[0, 2], scores[0, 5] = 0.75, 0.25
            area = 2 * sample.ori_shape[0]
            sample.set_data(
                dict(
                    pred_sem_seg=PixelData(data=region_map),
                    pred_region_map=PixelData(data=region_map),
                    pred_fine_seg=PixelData(data=region_map * 3),
                    pred_regions=InstanceData(
                        ids=torch.tensor([1]),
                        labels=torch.tensor([0]),
                        scores=torch.tensor([0.5]),
                        bboxes=torch.tensor([[1.0, 0, 3, sample.ori_shape[0]]]),
                        areas=torch.tensor([area]),
                        fine_labels=torch.tensor([2]),
                        fine_scores=scores,
                    ),
                )
            )
        return batch['data_samples']

    monkeypatch.setattr(inferencer.model, 'test_step', test_step)
    return batches


def write(path, height=8, width=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return path


def test_describes_what_is_predicted(inferencer, predicted):
    (result,) = inferencer(np.zeros((8, 10, 3), np.uint8), top_k=2)
    (region,) = result.pop('regions')
    assert result == dict(picture='array_0000', width=10, height=8)
    mask = coco_mask.decode(region.pop('mask'))
    assert mask.sum() == 16
    assert mask[:, 1:3].all()
    names = inferencer.taxonomy.fine_classes
    assert region == dict(
        id=1,
        bbox=[1, 0, 3, 8],
        area=16,
        group='disk',
        score=0.5,
        fine_class=names[2],
        fine_score=0.75,
        top_k=[dict(fine_class=names[2], score=0.75), dict(fine_class=names[5], score=0.25)],
    )


def test_files_folders_and_arrays_in_their_order(inferencer, predicted, tmp_path):
    for name in ('b/2.png', 'b/10.jpg', 'b/deeper/3.png', 'c.png'):
        write(tmp_path / name)
    (tmp_path / 'b' / 'notes.txt').write_text('no picture')
    results = inferencer([tmp_path / 'c.png', np.zeros((4, 4, 3), np.uint8), str(tmp_path / 'b')])
    assert [result['picture'] for result in results] == [
        str(tmp_path / 'c.png'),
        'array_0001',
        str(tmp_path / 'b' / '10.jpg'),
        str(tmp_path / 'b' / '2.png'),
    ]


def test_neighbours_of_one_size_share_a_batch(inferencer, predicted):
    sizes = [(8, 8), (8, 8), (8, 8), (9, 8), (8, 8)]
    results = inferencer([np.zeros((*size, 3), np.uint8) for size in sizes], batch_size=2)
    assert [len(batch) for batch in predicted] == [2, 1, 1, 1]
    assert [(result['height'], result['width']) for result in results] == sizes


def test_writes_every_picture_under_a_name_of_its_own(inferencer, predicted, tmp_path):
    pictures = [write(tmp_path / 'a' / '1.png'), write(tmp_path / 'b' / '1.png')]
    results = inferencer(pictures, out_dir=tmp_path / 'out')
    for name, result in zip(('1', '1_2'), results):
        assert result['files'] == {
            'prediction': str(tmp_path / 'out' / 'predictions' / f'{name}.json'),
            'segmentation': str(tmp_path / 'out' / 'segmentation' / f'{name}.png'),
            'composed': str(tmp_path / 'out' / 'composed' / f'{name}.png'),
            'regions': str(tmp_path / 'out' / 'regions' / f'{name}.png'),
            'visualization': str(tmp_path / 'out' / 'visualizations' / f'{name}.png'),
        }
        written = json.loads((tmp_path / 'out' / 'predictions' / f'{name}.json').read_text())
        assert written == {key: value for key, value in result.items() if key != 'files'}
    assert len([path for path in (tmp_path / 'out').rglob('*') if path.is_file()]) == 11  # and classes.json
    regions = cv2.imread(results[0]['files']['regions'], cv2.IMREAD_UNCHANGED)
    assert regions.dtype == np.uint16
    assert regions.tolist() == [[0, 1, 1] + [0] * 7] * 8


def test_returns_data_samples(inferencer, predicted):
    (sample,) = inferencer(np.zeros((8, 10, 3), np.uint8), return_datasamples=True)
    assert sample.pred_sem_seg.shape == (8, 10)


@pytest.mark.parametrize('out', [False, True])
def test_only_what_is_read_is_copied_from_the_device(inferencer, tmp_path, monkeypatch, out):
    """The logits are the largest map, and without files no label map is read."""
    copied = []
    cpu = SegDataSample.cpu
    monkeypatch.setattr(SegDataSample, 'cpu', lambda sample: copied.append(set(sample.keys())) or cpu(sample))
    picture = np.zeros((32, 32, 3), np.uint8)
    inferencer(picture, out_dir=tmp_path if out else None)
    labels = {'pred_sem_seg', 'pred_fine_seg'} if out else set()
    assert copied.pop() == {'pred_regions', 'pred_region_map'} | labels
    (sample,) = inferencer(picture, return_datasamples=True)
    assert sample.seg_logits.shape == (32, 32)


def test_files_and_arrays_get_the_same_prediction(inferencer, tmp_path):
    scenes = RodConeShapes(num_scenes=1, seed=0, size=(64, 64))
    picture = scenes[0]['img']
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    from_file, from_array = inferencer([tmp_path / 'a.png', picture], return_datasamples=True, batch_size=2)
    for sample in (from_file, from_array):
        assert sample.pred_sem_seg.shape == sample.pred_region_map.shape == sample.pred_fine_seg.shape == (64, 64)
        present = set(np.unique(sample.pred_region_map.data).tolist())
        assert present - {0} == set(sample.pred_regions.ids.tolist())
    assert torch.equal(from_file.seg_logits.data, from_array.seg_logits.data)


def test_real_network_writes_its_maps(inferencer, tmp_path):
    picture = RodConeShapes(num_scenes=1, seed=0, size=(64, 80))[0]['img']
    (sample,) = inferencer(picture, out_dir=tmp_path, return_datasamples=True)
    record = json.loads((tmp_path / 'predictions' / 'array_0000.json').read_text())
    assert [region['id'] for region in record['regions']] == sample.pred_regions.ids.tolist()
    fields = dict(segmentation='pred_sem_seg', composed='pred_fine_seg', regions='pred_region_map')
    for kind, field in fields.items():
        written = cv2.imread(str(tmp_path / kind / 'array_0000.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(written, sample.get(field).data[0])
    for region in record['regions']:
        np.testing.assert_array_equal(coco_mask.decode(region['mask']), sample.pred_region_map.data[0] == region['id'])


def test_weights_and_palette_come_from_the_checkpoint(config, inferencer, tmp_path):
    palette = [[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]]
    path = tmp_path / 'a.pth'
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(palette=palette))), path)
    loaded = DeepUNettoInferencer(config, path, device='cpu', show_progress=False)
    assert loaded.visualizer.dataset_meta['palette'] == palette
    assert not loaded.model.training
    inputs = torch.rand(1, 3, 32, 32)
    expected = model.eval()(inputs, mode='tensor')[0]
    torch.testing.assert_close(loaded.model(inputs, mode='tensor')[0], expected, rtol=1e-4, atol=1e-4)


def test_checkpoint_of_another_model(config, inferencer, tmp_path):
    state = MODELS.build(config.model).state_dict()
    state.pop('decode_head.conv_seg.weight')
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'(?s)a\.pth does not match the model .*decode_head\.conv_seg\.weight'):
        DeepUNettoInferencer(config, tmp_path / 'a.pth', device='cpu')


def test_checkpoint_of_another_taxonomy(config, inferencer, tmp_path):
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), tmp_path / 'a.pth')
    config.model.taxonomy.groups[0].fine_classes.reverse()
    with pytest.raises(TaxonomyError, match="fine classes of 'disk'"):
        DeepUNettoInferencer(config, tmp_path / 'a.pth', device='cpu')


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda data: dict(type='RepeatDataset', times=1, dataset=data),
        lambda data: dict(type='ConcatDataset', datasets=[data, data]),
    ],
    ids=['repeated', 'concatenated'],
)
@pytest.mark.parametrize('annotations', ['LoadAnnotations', 'deepunetto_mm.LoadThresholdAnnotations'])
def test_annotations_are_not_loaded_but_the_rest_of_the_pipeline_runs(config, tmp_path, wrapped, annotations):
    pipeline = [
        dict(type='LoadImageFromFile', color_type='color'),
        dict(type=annotations),
        dict(type='Resize', scale=(32, 32)),
        dict(type='deepunetto_mm.LoadRegions'),
        dict(type='deepunetto_mm.PackRegionInputs'),
    ]
    config.test_dataloader.dataset = wrapped(dict(type='deepunetto_mm.CoarseFineDataset', pipeline=pipeline))
    inferencer = DeepUNettoInferencer(config, device='cpu', show_progress=False)
    (sample,) = inferencer(write(tmp_path / 'a.png', 64, 64), return_datasamples=True)
    assert sample.img_shape == (32, 32)
    assert sample.pred_sem_seg.shape == (64, 64)


def test_pictures_are_loaded_as_the_config_says_whatever_the_loaders_name(config):
    config.test_dataloader.dataset.pipeline[0] = dict(type='LoadBiomedicalImageFromFile')
    inferencer = DeepUNettoInferencer(config, device='cpu', show_progress=False)
    assert type(inferencer._load_file).__name__ == 'LoadBiomedicalImageFromFile'


def test_model_without_taxonomy(config):
    for key in ('taxonomy', 'region_proposer', 'crop_neck', 'fine_backbone', 'fine_head'):
        config.model.pop(key)
    with pytest.raises(ValueError, match='no taxonomy'):
        DeepUNettoInferencer(config, device='cpu')


@pytest.mark.parametrize('kind', ['RegionClassifier', 'DeepUNetto'])
def test_models_that_need_annotated_regions_are_refused(config, kind):
    if kind == 'DeepUNetto':
        config.model.test_cfg = dict(oracle=True)
    else:
        config.model = dict(
            type='deepunetto_mm.RegionClassifier',
            taxonomy=config.model.taxonomy,
            crop_neck=dict(type='deepunetto_mm.MaskGuidedRoICrop', output_size=8),
            backbone=dict(type='mmpretrain.LeNet5'),
            head=dict(type='deepunetto_mm.FineGrainedHead', in_channels=120),
        )
    with pytest.raises(ValueError, match=f'the model {kind} of the config names annotated regions .*tools/test.py'):
        DeepUNettoInferencer(config, device='cpu')


@pytest.mark.parametrize('device', ['gpu', 'cuda:99'])
def test_a_device_that_is_not_there_is_named(config, device):
    with pytest.raises(ValueError, match=f"^device '{device}' cannot be used; name another, such as cpu"):
        DeepUNettoInferencer(config, device=device)


def test_results_go_to_a_folder_and_not_to_a_file(inferencer, predicted, tmp_path):
    (tmp_path / 'out').write_text('')
    with pytest.raises(NotADirectoryError, match='out is a file: name a folder for the results'):
        inferencer(np.zeros((64, 64, 3), np.uint8), out_dir=tmp_path / 'out')


def test_missing_files_are_all_named_before_anything_is_predicted(inferencer, predicted, tmp_path):
    present = write(tmp_path / 'a.png')
    with pytest.raises(FileNotFoundError, match=r'no such picture or folder: .*b\.png, .*c\.png'):
        inferencer([present, tmp_path / 'b.png', tmp_path / 'c.png'])
    assert predicted == []


def test_truncated_picture_is_named_before_anything_is_predicted(inferencer, predicted, tmp_path):
    good, bad = write(tmp_path / 'a.jpg'), write(tmp_path / 'b.jpg')
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(DataError, match=r'b\.jpg.*truncated'):
        inferencer([good, bad])
    assert predicted == []


@pytest.mark.parametrize('content', [b'no picture', b''])
def test_file_that_is_no_picture(inferencer, predicted, tmp_path, content):
    path = tmp_path / 'a.bmp'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.bmp'):
        inferencer(path)


def test_what_a_folder_has_besides_is_told_but_for_hidden_files(inferencer, predicted, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(picture_sources, 'print_log', lambda message, *_: said.append(message))
    for name in ('a.png', '.hidden.png', 'b.PNG'):
        write(tmp_path / name)
    (tmp_path / '._a.png').write_bytes(bytes([0, 5, 22, 7, 0, 2, 0, 0]) + b'Mac OS X        ' + bytes(200))
    assert [result['picture'] for result in inferencer(tmp_path)] == [
        str(tmp_path / name) for name in ('a.png', 'b.PNG')
    ]
    assert said == []
    (tmp_path / 'c.heic').write_bytes(b'')
    (tmp_path / 'd.png').symlink_to('nowhere.png')
    write(tmp_path / 'deeper' / 'e.png')
    assert len(inferencer(tmp_path)) == 2
    assert said == [f'{tmp_path}: 2 pictures; 3 other entries are left out: .heic (1), .png (1), subfolder (1)']


def test_what_is_lost_of_pictures_is_told_once_and_counted(inferencer, predicted, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(deepunetto_inferencer, 'print_log', lambda message, *_: said.append(message))
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8))
    write(tmp_path / 'c.png')
    assert len(inferencer(tmp_path)) == 3
    first, count = said
    assert 'a.png: values of 16 bits (uint16), 0 to 4032 in 64 levels, are read as 0 to 15 in 16 levels' in first
    assert count == '2 of 3 pictures: picture of 16 bits'


def test_the_scaling_of_the_config_is_used(config, tmp_path):
    loader = dict(type='deepunetto_mm.LoadScaledImage', low=0, high=4095)
    config.test_dataloader.dataset.pipeline = [loader, *config.test_dataloader.dataset.pipeline]
    inferencer = DeepUNettoInferencer(config, device='cpu', show_progress=False)
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((64, 64), 4095, np.uint16))
    source = picture_sources.Source('a', tmp_path / 'a.png')
    assert (inferencer._read(source)['img'] == 255).all()


def test_folder_without_pictures(inferencer, tmp_path):
    with pytest.raises(FileNotFoundError, match='no picture in the folder'):
        inferencer(tmp_path)


@pytest.mark.parametrize(('shape', 'dtype'), [((4, 4), np.uint8), ((4, 4, 3), np.float32), ((0, 4, 3), np.uint8)])
def test_array_that_is_no_picture(inferencer, shape, dtype):
    with pytest.raises(ValueError, match=r'picture 1 is an array .*\(H, W, 3\) uint8 BGR'):
        inferencer([np.zeros((4, 4, 3), np.uint8), np.zeros(shape, dtype)])


def test_pictures_of_pillow_and_tensors_are_rgb(inferencer, predicted, monkeypatch):
    """All are the same picture, whose first pixel is red."""
    bgr = np.zeros((4, 6, 3), np.uint8)
    bgr[0, 0] = 0, 0, 255
    pillow, chw = Image.fromarray(bgr[..., ::-1]), torch.from_numpy(bgr[..., ::-1].copy()).permute(2, 0, 1)
    lying = Image.fromarray(bgr[::-1, ::-1, ::-1])  # turned by 180 degrees, which its EXIF orientation says
    lying.getexif()[274] = 3
    seen, load = [], inferencer._load_array
    monkeypatch.setattr(inferencer, '_load_array', lambda results: seen.append(results['img']) or load(results))
    results = inferencer([bgr, pillow, pillow.convert('RGBA'), lying, chw, chw / 255])
    assert [result['picture'] for result in results] == [f'array_{i:04d}' for i in range(6)]
    assert [result['picture'] for result in inferencer(pillow)] == ['array_0000']
    assert len(inferencer(chw[None].expand(2, -1, -1, -1))) == len(inferencer(bgr[None].repeat(2, 0))) == 2
    assert len(seen) == 11
    for picture in seen:
        assert picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, bgr)


def test_something_else(inferencer):
    with pytest.raises(TypeError, match='picture 0 is a int; a path, an array, a picture of Pillow, a tensor'):
        inferencer([3])
    with pytest.raises(TypeError, match='picture 0 is a NoneType; a path, an array, .* or a list of those'):
        inferencer(None)
    for tensor in (torch.zeros(4, 4), torch.zeros(4, 4, 3), torch.full((3, 4, 4), 200.0), torch.zeros(3, 4, 4).long()):
        with pytest.raises(ValueError, match=r'picture 0 is a tensor .*\(3, H, W\) RGB is wanted'):
            inferencer([tensor])
    with pytest.raises(ValueError, match="mode 'I;16'; scale it to 8 bits"):
        inferencer(Image.fromarray(np.zeros((4, 4), np.uint16)))
    with pytest.raises(ValueError, match='batch_size'):
        inferencer([], batch_size=0)
    assert inferencer([]) == []


def test_streams_results_one_by_one(inferencer, predicted):
    pictures = [np.zeros((8, 8 + i % 3, 3), np.uint8) for i in range(7)]
    stream = inferencer.stream(pictures, batch_size=2)
    assert predicted == []
    first = next(stream)
    assert len(predicted) <= 3  # at most two batches more than what was asked for
    assert [first, *stream] == inferencer(pictures, batch_size=2)


@pytest.mark.parametrize(('large', 'most'), [(0, 0), (2**24, 4)])
def test_keeps_few_pictures_and_results(inferencer, predicted, monkeypatch, tmp_path, large, most):
    """Before a picture is read, nothing of the one before is alive if they are large, else of the three before."""
    monkeypatch.setattr(picture_batches, 'LARGE', large)
    alive, read = [], inferencer._read

    def watched(source):
        gc.collect()
        alive.append(sum(reference() is not None for reference in references))
        results = read(source)
        references.append(weakref.ref(results['img']))
        return results

    references: list = []
    monkeypatch.setattr(inferencer, '_read', watched)
    pictures = [write(tmp_path / f'{i}.png') for i in range(9)]
    for sample in inferencer.stream(pictures, return_datasamples=True):
        references.append(weakref.ref(sample))
        del sample
    assert len(alive) == 9
    assert max(alive) <= most


def test_pictures_side_by_side_get_the_same_predictions_and_one_has_all_cores(inferencer, monkeypatch):
    pictures = [scene['img'] for scene in RodConeShapes(num_scenes=6, seed=0, size=(64, 64))]
    expected = inferencer(pictures)
    predict, threads = inferencer._predict, []
    monkeypatch.setattr(inferencer, '_predict', lambda batch: threads.append(threading.get_ident()) or predict(batch))
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    assert inferencer(pictures) == expected
    assert threading.get_ident() not in threads
    assert inferencer(pictures[:1]) == expected[:1]
    assert threads[6:] == [threading.get_ident()]


def test_nothing_is_left_of_pictures_that_are_done(inferencer, tmp_path):
    """Through the real network, into files: 60 pictures leave as many objects as 20 of them."""
    scenes = RodConeShapes(num_scenes=3, seed=0, size=(64, 64))
    counts = []
    for length in (6, 20, 60):
        for result in inferencer.stream([scenes[i % 3]['img'] for i in range(length)], out_dir=tmp_path):
            assert result['files']
        del result
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert abs(counts[2] - counts[1]) < 20  # half an object a picture
