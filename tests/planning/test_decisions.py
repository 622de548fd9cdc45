from dataclasses import replace

import pytest

from deepunetto_mm.planning import decisions
from deepunetto_mm.planning.decisions import decide
from deepunetto_mm.planning.fingerprint import Fingerprint, Machine
from deepunetto_mm.planning.start_weights import TrainedNetwork
from deepunetto_mm.structures import Taxonomy
from deepunetto_mm.utils.errors import UsageError

MACHINE = Machine(cores=2, memory=16, gpu='', gpu_memory=0, torch='2')
# As of the white blood cells.
CELLS = Fingerprint(
    pictures=242,
    size=(120, 120),
    sizes=[(88, 88), (120, 120)],
    one_size=True,
    bits=8,
    low=0,
    high=255,
    classes=dict(background=0.69, cytoplasm=0.19, nucleus=0.12),
    regions=242,
    area=[1976, 2313, 4317, 6015, 7000],
    side=[55, 60, 80, 95, 110],
    fine_classes=dict(a=(100, 100, 3000.0), b=(142, 142, 5000.0)),
    size_share=0.55,
    white=200,
    even=0.9,
    tint=0.2,
)
NUCLEI = replace(
    CELLS,
    size=(520, 696),
    sizes=[(256, 256), (1388, 1040)],
    one_size=False,
    area=[20, 60, 300, 900, 2000],
    side=[6, 9, 20, 40, 60],
    touching=0.3,
    tint=0.05,
    white=49,
    size_share=0.0,
)


def _taxonomy(*fine):
    group = dict(name='cell', members=['cytoplasm', 'nucleus'], fine_classes=list(fine))
    return Taxonomy.from_dict(dict(classes=['background', 'cytoplasm', 'nucleus'], groups=[group]))


def test_cells():
    chosen = decide(CELLS, MACHINE, _taxonomy('a', 'b'), 184, 'efficientnet-lite0', any_way_up=True)
    assert (chosen.scale, chosen.crop, chosen.batch) == (1.6, (192, 192), 8)
    assert (chosen.names, chosen.window, chosen.crop_size) == ('crops', 176, 112)  # 95 * 1.6 * 1.15 = 174.8
    assert chosen.adapt == 95
    assert chosen.jitter is None
    assert chosen.any_way_up
    assert (chosen.proposer, chosen.min_area) == ('components', 1079)  # a quarter of 4317
    assert chosen.class_weight == [1, 1, 1]
    assert not chosen.bf16
    assert decide(CELLS, MACHINE, _taxonomy('a', 'b'), 184, 'scratch').scale == 1
    assert not decide(replace(CELLS, even=0.3), MACHINE, _taxonomy('a', 'b'), 184).adapt


def test_nuclei():
    taxonomy = Taxonomy.from_dict(
        dict(classes=['background', 'nucleus'], groups=[dict(name='n', members=['nucleus'], fine_classes=['nucleus'])])
    )
    data = replace(NUCLEI, classes=dict(background=0.8, nucleus=0.2))
    chosen = decide(data, MACHINE, taxonomy, 400, 'efficientnet-lite0', any_way_up=True)
    # Half of the objects have less than 300 pixels, 17 across: they touch, and get 32.
    assert (chosen.scale, chosen.crop, chosen.parts) == (1.8, (320, 320), True)
    assert chosen.names == 'segmentation'
    assert (chosen.proposer, chosen.min_area) == ('centres', 20)
    assert chosen.adapt is None
    assert chosen.dice
    assert chosen.jitter == (0.6, 0.75, 1.0, 1.25, 1.5)
    assert 'right angles' in chosen.why['flips']
    assert decide(replace(data, dim=0.6), MACHINE, taxonomy, 400).adapt == 99.8
    # Without neighbours that touch they stay as they are: in pictures of 320 x 320 pixels small ones would have 4.
    assert decide(replace(data, touching=0.05), MACHINE, taxonomy, 400, 'efficientnet-lite0').scale == 1.0


def test_names_that_touch_are_a_map():
    def taxonomy(count):
        groups = [dict(name='user', members=['user'], fine_classes=[f'name {i}' for i in range(count)])]
        return Taxonomy.from_dict(dict(classes=['road', 'user'], groups=groups))

    def chosen(mixed=0.2, count=2, masks_have_names=True):
        classes, names = dict(road=0.8, user=0.2), {'name 0': 0.18, 'name 1': 0.02}
        data = replace(NUCLEI, mixed=mixed, classes=classes, names=names)
        options = dict(encoder='efficientnet-lite0', masks_have_names=masks_have_names)
        return decide(data, MACHINE, taxonomy(count), 400, **options)

    assert (chosen().names, chosen().proposer) == ('pixels', 'names')
    assert chosen().class_weight[1] / chosen().class_weight[0] == pytest.approx(3.01, abs=0.01)  # ln 1.82 / ln 1.22
    first, second = chosen().name_weight
    assert second / first == pytest.approx(4.65, abs=0.01)  # ln 1.2 / ln 1.04
    assert 0.9 * first + 0.1 * second == pytest.approx(1, abs=1e-3)
    assert (chosen(mixed=0.1).names, chosen(mixed=0.1).name_weight) == ('crops', None)
    assert (chosen(count=20).names, chosen(count=20).proposer) == ('map', 'centres')  # 30 % touch
    assert chosen(masks_have_names=False).names == 'crops'


def test_pictures_without_masks_get_a_classifier():
    data = replace(CELLS, size=(299, 224))
    chosen = decide(data, MACHINE, _taxonomy('a', 'b'), 2640, 'efficientnet-lite0', whole=True)
    assert (chosen.names, chosen.scale, chosen.crop, chosen.batch) == ('picture', 1.0, (160, 160), 16)
    with pytest.raises(UsageError, match='--luminance is for networks that segment'):
        decide(data, MACHINE, _taxonomy('a', 'b'), 2640, luminance=True, whole=True)


def test_large_pictures_shrink_and_a_gpu_sees_more():
    data = replace(CELLS, size=(4000, 3000), sizes=[(4000, 3000)] * 2, area=[1e4] * 5, side=[100] * 5)
    chosen = decide(data, MACHINE, _taxonomy('a', 'b'), 100, 'scratch')
    assert chosen.scale == 0.1  # sqrt(320 * 320 / 12e6) = 0.092
    assert chosen.crop == (320, 416)
    assert not chosen.tiles
    # Small objects need the pixels.
    small = replace(data, area=[10, 100, 100, 100, 100])
    chosen = decide(small, MACHINE, _taxonomy('a', 'b'), 100, 'scratch')
    assert (chosen.scale, chosen.tiles) == (1.0, True)
    gpu = replace(MACHINE, gpu='H100', gpu_memory=80, cores=16)
    chosen = decide(data, gpu, _taxonomy('a', 'b'), 100, 'scratch')
    assert chosen.scale == 0.25
    assert chosen.workers == 4


@pytest.mark.parametrize(('training', 'batch'), [(1, 1), (3, 3), (10, 4), (31, 7), (500, 8)])
def test_the_batch_is_not_larger_than_the_data(training, batch):
    assert decide(CELLS, MACHINE, _taxonomy('a', 'b'), training, 'scratch').batch == batch


def test_few_pictures_give_several_crops_an_epoch():
    chosen = decide(NUCLEI, MACHINE, _taxonomy('a'), 3, 'efficientnet-lite0')
    assert (chosen.batch, chosen.repeats) == (8, 11)  # 33 crops
    assert decide(NUCLEI, MACHINE, _taxonomy('a'), 32, 'efficientnet-lite0').repeats == 1
    assert decide(CELLS, MACHINE, _taxonomy('a', 'b'), 3, 'scratch').repeats == 1  # whole pictures


def test_names():
    many = _taxonomy(*map(str, range(20)))
    chosen = decide(CELLS, MACHINE, many, 99, 'efficientnet-lite0')
    assert (chosen.names, chosen.proposer) == ('map', 'cut')
    # One garment touches the next, of another kind.
    clothes = decide(replace(CELLS, neighbours=0.6), MACHINE, many, 99, 'efficientnet-lite0')
    assert (clothes.names, clothes.proposer) == ('map', 'borders')
    assert '60 % of the objects touch another of any kind' in clothes.why['proposer']
    assert decide(CELLS, MACHINE, many, 99, 'scratch').names == 'crops'
    assert decide(CELLS, MACHINE, _taxonomy('a'), 99, 'scratch').names == 'segmentation'


def test_the_names_of_the_checkpoint():
    def names(encoder, names):
        network = TrainedNetwork('old.pth', {}, _taxonomy('a'), encoder, False, names)
        return decide(CELLS, MACHINE, _taxonomy('a', 'b'), 99, network=network).names

    assert names('efficientnet-lite0', 'map') == 'map'
    assert names('efficientnet-lite0', 'crops') == 'crops'
    # Maps beside crops need the pretrained encoder: the encoder from scratch goes on, with crops.
    assert names('scratch', 'map') == 'crops'


def test_the_weights_of_many_classes():
    taxonomy = Taxonomy.from_dict(
        dict(classes=list('abcde'), groups=[dict(name='e', members=['e'], fine_classes=['x', 'y'])])
    )
    shares = [0.6, 0.05, 0.1, 0.15, 0.1]
    weights = decide(replace(CELLS, classes=dict(zip('abcde', shares))), MACHINE, taxonomy, 9, 'scratch').class_weight
    assert sum(weight * share for weight, share in zip(weights, shares)) == pytest.approx(1, abs=1e-3)
    assert weights[1] / weights[0] == pytest.approx(12**0.25, rel=1e-2)


@pytest.mark.parametrize(('count', 'ratio'), [(4, 1), (5, 7.130)])  # ln 1.62 / ln 1.07
def test_classes_alone(count, ratio):
    shares = dict(zip('abcde', (0.6, 0.05, 0.1, 0.15, 0.1)[:count]))
    data = replace(CELLS, regions=0, area=[], side=[], classes=shares)
    chosen = decide(data, MACHINE, Taxonomy(tuple(shares)), 9, 'scratch')
    assert chosen.names == 'nothing'
    assert chosen.class_weight[1] / chosen.class_weight[0] == pytest.approx(ratio, rel=1e-2)


def test_the_encoder_is_what_is_installed(monkeypatch):
    monkeypatch.setattr(decisions, 'find_spec', lambda name: None)
    chosen = decide(NUCLEI, MACHINE, _taxonomy('a', 'b'), 9)
    assert chosen.encoder == 'scratch'
    assert 'pip install timm' in chosen.why['encoder']
    monkeypatch.setattr(decisions, 'find_spec', lambda name: True)
    assert decide(NUCLEI, MACHINE, _taxonomy('a', 'b'), 9).encoder == 'efficientnet-lite0'
