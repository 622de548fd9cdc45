#!/bin/sh
# Train in several processes, on one machine or many; docs/distributed.md.
#
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
#
# GPUS is the number of processes on this machine, one a GPU; without a GPU they run on the CPU. From the environment:
#   PYTHON       interpreter (python)
#   PORT         port of the first machine; on a single one a free port is found
#   NNODES       number of machines (1), with, on each of them
#   NODE_RANK    its number, from 0, and
#   MASTER_ADDR  the name of machine 0
set -eu
if [ $# -lt 2 ]; then
    echo "usage: [NNODES=N NODE_RANK=I MASTER_ADDR=HOST PORT=P] $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2
if [ "${NNODES:-1}" -eq 1 ] && [ -z "${PORT:-}" ]; then
    set -- --standalone --nproc-per-node "$gpus" "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
else
    set -- --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
        --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}" \
        --nproc-per-node "$gpus" "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
fi
exec "${PYTHON:-python}" -m torch.distributed.run "$@"
