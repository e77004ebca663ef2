#!/bin/bash
# Trains on machines that are reached by ssh without a password, with Open MPI. Every machine needs the same acdit, ONNX
# Runtime, data and recipe in the same folders; files are written on the first one.
set -euo pipefail

# One line per machine: its name, and how many processes it runs.
hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
cat >"$hosts" <<HOSTS
node1 slots=1
node2 slots=1
HOSTS

# Test the cluster first: list the ranks, and measure latency and bandwidth.
mpirun --hostfile "$hosts" npx acdit info --ranks

# To save and stop: pkill -USR2 mpirun. Ctrl-C leaves the ranks two seconds, which may not be enough.
mpirun --hostfile "$hosts" --bind-to none npx acdit train recipes/imagenet256-b.json
