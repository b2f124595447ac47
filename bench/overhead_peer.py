"""The loop of autoresearch-rl 0.5.0 on a target without training: what each trial cost, as JSON. Runs in an environment that has it.

    PYTHON_WITH_AUTORESEARCH_RL bench/overhead_peer.py PYTHON_OF_THE_TRIALS IMPORTS TRIALS

Its own `run_experiment`, as its command line calls it for a command target with the random policy, without language model and network:
proposal, run folder, `train_cmd`, `eval_cmd`, ledger row, trace, versions. The guard that ends a campaign whose forecast is
flat is off, as for its diff policies: here every trial is equal.

Equal to tests/cases/noop: the interpreter, the imports (IMPORTS, as in "numpy,safetensors.numpy,torch"), a checkpoint of numbers that
one process writes and another reads, which prints the metric. Not equal, and all of it less work: no sandbox, no limits, no held-out
data kept apart, no second predictor that probes the first, no program version stored: parameters in the environment are what is edited.
"""

import json
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from autoresearch_rl.config import ComparabilityConfig, ControllerConfig, ObjectiveConfig, TelemetryConfig
from autoresearch_rl.controller.continuous import _param_extractor, _param_state_builder
from autoresearch_rl.controller.engine import run_experiment
from autoresearch_rl.controller.executor import MetricEvaluator, TargetExecutor
from autoresearch_rl.policy.search import RandomPolicy
from autoresearch_rl.target.command import CommandTarget

TRAIN = """
import json, os
import {imports}
numbers = json.loads(os.environ["AR_PARAMS_JSON"])
safetensors.numpy.save_file({{"w": numpy.array([float(n) for n in numbers.values()])}}, os.environ["AR_RUN_DIR"] + "/model.safetensors")
"""
EVAL = """
import os
import {imports}
safetensors.numpy.load_file(os.environ["AR_RUN_DIR"] + "/model.safetensors")
print("val_bpb=1.0")
"""


def cpu_s() -> float:
    """Return the CPU time of this process and of all that it started and waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Run the loop of the command line."""
    python, imports, trials = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("train.py", TRAIN), ("eval.py", EVAL)):
            Path(folder, name).write_text(source.format(imports=imports))
        marks = [(time.monotonic(), cpu_s())]
        statuses = []

        def mark(_: int, __: object, outcome: object, ___: object, ____: str) -> None:
            marks.append((time.monotonic(), cpu_s()))
            statuses.append(outcome.status)

        run_experiment(
            executor=TargetExecutor(CommandTarget([python, "train.py"], [python, "eval.py"], folder, timeout_s=600)),
            evaluator=MetricEvaluator(),
            policy=RandomPolicy({f"n{number}": [1, 2, 3] for number in range(300)}),
            objective=ObjectiveConfig(),
            controller=ControllerConfig(seed=0, max_iterations=int(trials)),
            telemetry=TelemetryConfig(
                trace_path=f"{folder}/events.jsonl",
                ledger_path=f"{folder}/results.tsv",
                artifacts_dir=f"{folder}/runs",
                versions_dir=f"{folder}/versions",
            ),
            comparability_cfg=ComparabilityConfig(),
            proposal_state_builder=_param_state_builder,
            proposal_params_extractor=_param_extractor,
            on_iteration=mark,
            enable_forecasting=False,
        )
    if set(statuses) != {"ok"}:
        raise SystemExit(f"autoresearch-rl: its trials ended as {sorted(set(statuses))}")
    steps = [(end[0] - start[0], end[1] - start[1]) for start, end in pairwise(marks)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        json.dumps({"walls_s": [w for w, _ in steps], "cpus_s": [c for _, c in steps], "peak_mb": peak_mb})
    )


if __name__ == "__main__":
    main()
