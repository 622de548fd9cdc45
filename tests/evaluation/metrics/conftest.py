import json
import os
import pickle
import socket
import subprocess
import sys

import pytest

WORKER = """
import json, os, pickle, sys, torch
from deepunetto_mm import evaluation
name, rank, port, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.distributed.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
with open(f'{folder}/samples.pkl', 'rb') as file:
    meta, samples, options = pickle.load(file)
metric = getattr(evaluation, name)(collect_dir=f'{folder}/collect', **options)
metric.dataset_meta = meta
# As mmengine's sampler deals them out: in turn, the first again at the end so that all ranks have equally many.
metric.process(None, (samples + samples[:len(samples) % 2])[rank::2])
with open(f'{folder}/{rank}.json', 'w') as file:
    json.dump(metric.evaluate(len(samples)), file)
# Without more ado: gloo's threads now and then abort the process at the end of the interpreter, and torch up to 2.3,
# told to destroy the group right after a broadcast, waits for ever for a thread that waits for Python to free a tensor.
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def evaluate_in_two_processes(tmp_path, repository):
    """A function of a metric's name, metainfo, data samples and options: what each of two processes reports."""

    def run(name, meta, samples, **options):
        contents = meta, [sample.to_dict() for sample in samples], options
        (tmp_path / 'samples.pkl').write_bytes(pickle.dumps(contents))
        (tmp_path / 'temporary').mkdir()
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = str(probe.getsockname()[1])
        env = dict(os.environ, PYTHONPATH=str(repository), OMP_NUM_THREADS='1', TMPDIR=str(tmp_path / 'temporary'))
        workers = [
            subprocess.Popen(
                [sys.executable, '-c', WORKER, name, str(rank), port, str(tmp_path)],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        for worker in workers:
            output, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0, output
        return [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2)]

    return run
