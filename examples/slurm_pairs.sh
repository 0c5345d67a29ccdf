#!/bin/bash
# One part of a pair run a task. OUT lies on a file system that all nodes share; what follows is for `dualsafe pairs run`:
#
#     sbatch examples/slurm_pairs.sh OUT --prompts prompts.csv --model MODEL --judge JUDGE --judge JUDGE
#
# More tasks than GPUs (%16: how many at once) keep a slow node from holding up the rest. A task that is requeued makes only
# what it had not finished, and so does the same command given again.
#SBATCH --job-name=pairs
#SBATCH --array=0-127%16
#SBATCH --gpus=1
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

out=$1
shift
tasks=${TASKS:-128} # as in --array; SLURM_ARRAY_TASK_COUNT is less where only some tasks are submitted again

dualsafe pairs run "$@" --out "$out" --shard-range 0:0 # plans, unless another task has
range=$(python - "$out/run.json" "$SLURM_ARRAY_TASK_ID" "$tasks" <<'END'
import json, sys
from dualsafe.pairs.launch import span

run, task, tasks = sys.argv[1:]
with open(run) as file:
    shards = span(json.load(file)["shards"], int(task), int(tasks))
print(f"{shards.start}:{shards.stop}")
END
)
dualsafe pairs run "$@" --out "$out" --shard-range "$range"
