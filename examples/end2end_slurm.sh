#!/bin/bash
# Train a network of whole videos on two machines of four GPUs each. A requeued job goes on from its last checkpoint.
#
#   sbatch examples/end2end_slurm.sh set.csv RUN --backbone resnet50 --pool rankpool --fps 8
#
#SBATCH --job-name=end2end --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --cpus-per-task=32 --requeue
#SBATCH --signal=TERM@120
set -euo pipefail
manifest=$1 run=$2
shift 2
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# The folder RUN and its cache must lie where both machines see them; --cache on a local disk decodes once per machine.
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
    -m vidfeat.cli.main end2end train "$manifest" -o "$run" --precision bf16 "$@"
