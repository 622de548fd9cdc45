import os

import pytest

from deepunetto_mm.cli.launchers import LaunchError, export_place

SLURM = dict(SLURM_PROCID='5', SLURM_NTASKS='8', SLURM_LOCALID='1', SLURM_NODELIST='node[1-2]', SLURM_JOB_ID='123456')
MPI = dict(
    OMPI_COMM_WORLD_RANK='1',
    OMPI_COMM_WORLD_SIZE='2',
    OMPI_COMM_WORLD_LOCAL_RANK='1',
    OMPI_COMM_WORLD_LOCAL_SIZE='2',
)
TORCH = dict(RANK='3', WORLD_SIZE='4', MASTER_ADDR='a', MASTER_PORT='1')
PLACE = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture
def place(monkeypatch):
    """Export the place of a process in an environment of the given variables alone, and return it."""

    def export(launcher, variables, local_rank=0):
        variables = {'PATH': os.environ['PATH'], **variables}
        monkeypatch.setattr(os, 'environ', variables)
        export_place(launcher, local_rank)
        return tuple(variables[name] for name in PLACE)

    return export


@pytest.fixture
def scontrol(tmp_path):
    """A command of Slurm's that knows two nodes; the PATH that it is in."""
    command = tmp_path / 'scontrol'
    command.write_text('#!/bin/sh\n[ "$*" = "show hostnames node[1-2]" ] && printf "node1\\nnode2\\n"\n')
    command.chmod(0o755)
    return f'{tmp_path}:{os.environ["PATH"]}'


def test_torchrun(place):
    assert place('pytorch', TORCH, local_rank=2) == ('3', '4', '2', 'a', '1')
    assert place('pytorch', dict(TORCH, LOCAL_RANK='1')) == ('3', '4', '1', 'a', '1')


def test_slurm(place, scontrol):
    assert place('slurm', dict(SLURM, PATH=scontrol)) == ('5', '8', '1', 'node1', str(20000 + 123456 % 9500))


def test_slurm_where_the_user_chose_address_and_port(place):
    chosen = dict(SLURM, MASTER_ADDR='node2', MASTER_PORT='12345')
    assert place('slurm', chosen) == ('5', '8', '1', 'node2', '12345')


def test_slurm_on_one_node_needs_no_scontrol(place):
    assert place('slurm', dict(SLURM, SLURM_NODELIST='node7', PATH=''))[3] == 'node7'


def test_mpi_on_one_machine(place):
    assert place('mpi', MPI) == ('1', '2', '1', '127.0.0.1', '29500')


@pytest.mark.parametrize(
    ('launcher', 'variables', 'message'),
    [
        ('pytorch', {}, 'needs RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT in the environment; .* with torchrun'),
        ('slurm', dict(SLURM_NTASKS='2'), 'needs SLURM_PROCID, SLURM_LOCALID in the environment; .* with srun'),
        ('mpi', {}, 'needs OMPI_COMM_WORLD_RANK, .* in the environment; start the command with mpirun'),
        ('slurm', dict(SLURM, PATH=''), r"first of the nodes 'node\[1-2\]'; export its name as MASTER_ADDR"),
        ('mpi', dict(MPI, OMPI_COMM_WORLD_LOCAL_SIZE='1'), 'start with mpirun -x MASTER_ADDR=NAME'),
    ],
)
def test_what_is_not_told(place, launcher, variables, message):
    with pytest.raises(LaunchError, match=message):
        place(launcher, variables)
