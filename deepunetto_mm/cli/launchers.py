"""The environment that torchrun, Slurm and Open MPI give a process of a distributed run."""

import os
import subprocess

# The variables that torch reads, and the launchers' variables with their values.
_VARIABLES_OF = dict(
    pytorch=dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', MASTER_ADDR='MASTER_ADDR', MASTER_PORT='MASTER_PORT'),
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(RANK='OMPI_COMM_WORLD_RANK', WORLD_SIZE='OMPI_COMM_WORLD_SIZE', LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK'),
)
_STARTED_BY = dict(
    pytorch='torchrun --nproc_per_node=N, or tools/dist_train.sh', slurm='srun, or tools/slurm_train.sh', mpi='mpirun'
)


class LaunchError(ValueError):
    """A variable that a process of a distributed run needs is missing; the message names it."""


def export_place(launcher: str, local_rank: int = 0) -> None:
    """Set the variables from which torch and mmengine learn the place of this process among the others.

    These are ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``; existing values are
    kept. By default the address is the first of Slurm's nodes, or this machine if all processes of MPI are
    on it; the port is 29500, or in Slurm one that follows from the job number, because jobs may share a machine.

    Args:
        launcher: ``'pytorch'``, ``'slurm'`` or ``'mpi'`` (Open MPI).
        local_rank: Number of this process on its machine, if torch's launcher passes it as an argument and not in
            the environment.

    Raises:
        LaunchError: If the launcher's variables are missing, or the machine of process 0 is unknown.
    """
    absent = [variable for variable in _VARIABLES_OF[launcher].values() if variable not in os.environ]
    if absent:
        raise LaunchError(
            f'--launcher {launcher} needs {", ".join(absent)} in the environment; start the command with '
            f'{_STARTED_BY[launcher]}'
        )
    for name, variable in _VARIABLES_OF[launcher].items():
        os.environ[name] = os.environ[variable]
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_slurm_node() if launcher == 'slurm' else _only_mpi_machine()
    job = os.environ.get('SLURM_JOB_ID')
    os.environ.setdefault('MASTER_PORT', '29500' if job is None else str(20000 + int(job) % 9500))


def _first_slurm_node() -> str:
    nodes = os.environ.get('SLURM_NODELIST', '')
    if nodes and set(',[').isdisjoint(nodes):
        return nodes
    try:
        done = subprocess.run(['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True)
        return done.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise LaunchError(
            f'scontrol does not give the first of the nodes {nodes!r}; export its name as MASTER_ADDR'
        ) from error


def _only_mpi_machine() -> str:
    if os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') != os.environ['WORLD_SIZE']:
        raise LaunchError('the machine of process 0 is unknown; start with mpirun -x MASTER_ADDR=NAME')
    return '127.0.0.1'
