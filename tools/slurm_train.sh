#!/bin/sh
# Train under Slurm; docs/distributed.md.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
#
# From the environment:
#   GPUS           number of processes, one a GPU (4)
#   GPUS_PER_NODE  of them on one machine (GPUS, at most 4)
#   CPUS_PER_TASK  cores of a process (5)
#   GRES           what to ask of a machine besides (gpu:GPUS_PER_NODE); empty for machines without a GPU
#   SRUN_ARGS      further options of srun, separated by spaces
#   PYTHON         interpreter (python)
set -eu
if [ $# -lt 3 ]; then
    echo "usage: [GPUS=N GPUS_PER_NODE=N CPUS_PER_TASK=N GRES=... SRUN_ARGS=...] $0 PARTITION JOB_NAME CONFIG" \
        "[options of tools/train.py]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
shift 3
gpus=${GPUS:-4}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 4 ? gpus : 4))}
gres=${GRES-gpu:$gpus_per_node}
# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
exec srun --partition="$partition" --job-name="$job_name" ${gres:+"--gres=$gres"} \
    --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --launcher slurm "$@"
