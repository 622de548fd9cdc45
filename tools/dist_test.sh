#!/bin/sh
# Test in several processes, on one machine or many; docs/distributed.md.
#
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
#
# GPUS and the environment are those of tools/dist_train.sh.
set -eu
if [ $# -lt 3 ]; then
    echo "usage: [NNODES=N NODE_RANK=I MASTER_ADDR=HOST PORT=P] $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3
if [ "${NNODES:-1}" -eq 1 ] && [ -z "${PORT:-}" ]; then
    set -- --standalone --nproc-per-node "$gpus" "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
else
    set -- --nnodes "${NNODES:-1}" --node-rank "${NODE_RANK:-0}" \
        --master-addr "${MASTER_ADDR:-127.0.0.1}" --master-port "${PORT:-29500}" \
        --nproc-per-node "$gpus" "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
fi
exec "${PYTHON:-python}" -m torch.distributed.run "$@"
