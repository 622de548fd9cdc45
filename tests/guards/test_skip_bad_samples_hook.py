"""Training tolerates a few unreadable samples; validation never does."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import distributed, nn
from torch.utils.data import DataLoader

from deepunetto_mm.guards import BadSampleError, SkipBadSamplesHook


class Numbers(torch.utils.data.Dataset):
    """Eight numbers, of which those that are bad cannot be read."""

    metainfo = dict(classes=['number'])

    def __init__(self, bad=(), error=OSError):
        self.bad = bad
        self.error = error

    def __len__(self):
        return 8

    def get_data_info(self, index):
        return dict(img_path=f'{index}.png')

    def __getitem__(self, index):
        if index in self.bad:
            raise self.error('cut short')
        return dict(inputs=torch.tensor([float(index)]))


class Model(BaseModel):
    """Remembers what it was trained on."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def forward(self, inputs, data_samples=None, mode='loss'):
        if mode == 'predict':
            return inputs
        self.seen.append([int(value) for value in inputs])
        return dict(loss=sum(self.weight * value for value in inputs).sum())


class Count(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results):
        return dict(count=len(results))


def _loader(dataset, workers=0):
    options = dict(batch_size=2, num_workers=workers, persistent_workers=workers > 0)
    return dict(**options, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))


def _runner(work_dir, hooks, dataset, by_epoch=True, workers=0, val=None, epochs=2, seed=None):
    train_cfg = dict(by_epoch=True, max_epochs=epochs) if by_epoch else dict(by_epoch=False, max_iters=4 * epochs)
    others = (
        dict(val_dataloader=_loader(val), val_cfg=dict(), val_evaluator=dict(type=Count)) if val is not None else {}
    )
    return Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=_loader(dataset, workers),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=hooks,
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=seed),
        experiment_name=work_dir.name,
        **others,
    )


def _log(work_dir):
    return '\n'.join(path.read_text() for path in work_dir.rglob('*.log'))


def _wrapped(dataset, limit=10):
    """The dataset that the hook puts around that of training."""
    runner = _reading(dataset)
    SkipBadSamplesHook(limit).before_train(runner)
    return runner.train_loop.dataloader.dataset


def _reading(dataset, **others):
    """As much of a Runner as the hook needs."""
    return SimpleNamespace(train_loop=SimpleNamespace(dataloader=DataLoader(dataset)), **others)


@pytest.mark.parametrize(('by_epoch', 'workers'), [(True, 0), (True, 2), (False, 0), (False, 2)])
def test_the_next_sample_stands_in(tmp_path, by_epoch, workers):
    """3 and 4 are bad, and the last one, whose next is the first. In a second epoch they are met again."""
    epochs = 2 if by_epoch else 1  # at the end of an epoch the other loop sleeps for two seconds
    hook = dict(type='deepunetto_mm.SkipBadSamplesHook', limit=3)
    runner = _runner(tmp_path, [hook], Numbers(bad=(3, 4, 7)), by_epoch, workers, epochs=epochs)
    runner.train()
    assert runner.model.seen == [[0, 1], [2, 5], [5, 5], [6, 0]] * epochs
    log = _log(tmp_path)
    for index in (3, 4, 7):
        assert log.count(f'{index}.png: OSError: cut short (replaced by the next training sample; ') == 1
    assert '3 of 8 training samples could not be read and were replaced: 3.png, 4.png, 7.png' in log
    assert runner.train_dataloader.dataset.metainfo == dict(classes=['number'])


def test_more_than_the_limit_stop_the_run(tmp_path):
    # Each worker meets one of them, and either may be the first.
    runner = _runner(tmp_path, [SkipBadSamplesHook(limit=1)], Numbers(bad=(1, 6)), workers=2)
    with pytest.raises(
        BadSampleError, match=r'[16]\.png: OSError: cut short \(2 training samples cannot be read, and Skip'
    ):
        runner.train()


def test_validation_never_does_without_a_sample(tmp_path):
    """Even with the very dataset object that training uses."""
    dataset = Numbers(bad=(3,))
    runner = _runner(tmp_path, [SkipBadSamplesHook()], dataset, val=dataset, epochs=1)
    with pytest.raises(OSError, match=r'^cut short$'):
        runner.train()
    assert len(runner.model.seen) == 4  # the epoch of training went through


def test_sound_data_is_as_without_the_hook():
    dataset = _wrapped(Numbers())
    assert [int(dataset[index]['inputs']) for index in range(8)] == list(range(8))
    assert len(dataset) == 8
    assert not dataset.bad.any()
    with pytest.raises(AttributeError, match='nothing_such'):
        dataset.nothing_such  # noqa: B018


def test_a_sample_is_counted_once_however_often_it_is_met():
    dataset = _wrapped(Numbers(bad=(3,)), limit=1)
    assert [int(dataset[3]['inputs']) for _ in range(3)] == [4, 4, 4]
    assert dataset.bad.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_a_limit_of_0_names_the_first_file():
    with pytest.raises(BadSampleError, match=r'^1\.png: OSError: cut short'):
        _wrapped(Numbers(bad=(1,)), limit=0)[1]


def test_an_error_that_names_its_file_is_told_as_it_is():
    dataset = Numbers(bad=(1,), error=lambda text: ValueError(f'/data/1.png: {text}'))
    with pytest.raises(BadSampleError, match=r'^/data/1\.png: cut short \(1 training samples'):
        _wrapped(dataset, limit=0)[1]


def test_nothing_readable_is_an_error_and_no_endless_search():
    with pytest.raises(BadSampleError, match='none of the 8 training samples can be read'):
        _wrapped(Numbers(bad=range(8)), limit=100)[2]


def test_want_of_memory_is_no_bad_sample():
    with pytest.raises(MemoryError):
        _wrapped(Numbers(bad=(1,), error=MemoryError))[1]


def test_the_dataset_gets_the_index_that_the_sampler_gave():
    """Subclasses of int carry what else a hook knows of a sample."""

    class Numbered(int):
        pass

    class Remembering(Numbers):
        got = []

        def __getitem__(self, index):
            self.got.append(index)
            return super().__getitem__(index)

    assert _wrapped(Remembering(bad=(3,)))[Numbered(3)]['inputs'] == 4
    assert [type(index) for index in Remembering.got] == [Numbered, int]


def test_what_is_set_is_set_on_the_dataset():
    dataset = Numbers()
    _wrapped(dataset).pipeline = 'other'
    assert dataset.pipeline == 'other'


def test_training_twice_wraps_once():
    hook, runner = SkipBadSamplesHook(), _reading(Numbers())
    hook.before_train(runner)
    first = runner.train_loop.dataloader.dataset
    hook.before_train(runner)
    assert runner.train_loop.dataloader.dataset is first
    assert isinstance(first.dataset, Numbers)


def test_augmentation_is_drawn_for_the_place_of_the_sample(tmp_path):
    """Of the other, too, and of all that come after: two bad samples, and the run without them draws the same."""

    class Draws(Numbers):
        def __getitem__(self, index):
            return dict(inputs=super().__getitem__(index)['inputs'] + 10 * (1 + torch.randint(1000, (1,))))

    def seen(name, bad, workers=0):
        hooks = [dict(type='deepunetto_mm.SkipBadSamplesHook'), dict(type='deepunetto_mm.ReproducibleHook')]
        runner = _runner(tmp_path / name, hooks, Draws(bad=bad), False, workers, epochs=1, seed=0)
        runner.train()
        return [value for batch in runner.model.seen for value in batch]

    sound, others = seen('sound', ()), seen('bad', (3, 4))
    assert [value % 10 for value in others] == [0, 1, 2, 5, 5, 5, 6, 7]
    assert [value // 10 for value in others] == [value // 10 for value in sound]
    assert len(set(sound)) == 8
    assert seen('workers', (3, 4), workers=2) == others


def _report(folder):
    distributed.init_process_group('gloo')
    rank = distributed.get_rank()
    logger = SimpleNamespace(warning=(folder / f'{rank}.txt').write_text)
    runner, hook = _reading(Numbers(bad=(2, 3 + rank)), logger=logger), SkipBadSamplesHook()
    hook.before_train(runner)
    dataset = runner.train_loop.dataloader.dataset
    assert [int(dataset[index]['inputs']) for index in (2, 3 + rank)] == [[4, 4], [3, 5]][rank]
    hook.after_train(runner)


def test_processes_report_what_any_of_them_did_without(launch, tmp_path):
    """Each sample once, though both met the first."""
    assert [status for status, _ in launch(_report, tmp_path)] == [0, 0]
    expected = '3 of 8 training samples could not be read and were replaced: 2.png, 3.png, 4.png'
    assert [(tmp_path / f'{rank}.txt').read_text() for rank in range(2)] == [expected] * 2


def test_a_limit_below_0_is_refused():
    with pytest.raises(ValueError, match='limit must be at least 0, got -1'):
        SkipBadSamplesHook(limit=-1)
