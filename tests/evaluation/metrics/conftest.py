import json
import os
import tempfile

import pytest
from torch import distributed

from deepunetto_mm import evaluation


@pytest.fixture
def evaluate_in_two_processes(launch, tmp_path):
    """A function of a metric's name, metainfo, data samples and options: what each of two processes reports."""

    def evaluate(name, meta, samples, options):
        tempfile.tempdir = str(tmp_path / 'temporary')
        distributed.init_process_group('gloo')
        metric = getattr(evaluation, name)(collect_dir=str(tmp_path / 'collect'), **options)
        metric.dataset_meta = meta
        # As mmengine's sampler deals them out: in turn, the first again at the end so that all ranks have equally many.
        rank = int(os.environ['RANK'])
        metric.process(None, (samples + samples[: len(samples) % 2])[rank::2])
        (tmp_path / f'{rank}.json').write_text(json.dumps(metric.evaluate(len(samples))))

    def run(name, meta, samples, **options):
        (tmp_path / 'temporary').mkdir()
        samples = [sample.to_dict() for sample in samples]
        for status, printed in launch(evaluate, name, meta, samples, options):
            assert status == 0, printed
        return [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]

    return run
