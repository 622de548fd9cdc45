#!/bin/sh
# Test under Slurm; docs/distributed.md.
#
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of tools/test.py]
#
# The environment is that of tools/slurm_train.sh.
set -eu
if [ $# -lt 4 ]; then
    echo "usage: [GPUS=N GPUS_PER_NODE=N CPUS_PER_TASK=N GRES=... SRUN_ARGS=...] $0 PARTITION JOB_NAME CONFIG CHECKPOINT" \
        "[options of tools/test.py]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
checkpoint=$4
shift 4
gpus=${GPUS:-4}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 4 ? gpus : 4))}
gres=${GRES-gpu:$gpus_per_node}
# SRUN_ARGS is split into words on purpose.
# shellcheck disable=SC2086
exec srun --partition="$partition" --job-name="$job_name" ${gres:+"--gres=$gres"} \
    --ntasks="$gpus" --ntasks-per-node="$gpus_per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher slurm "$@"
