"""The guards, each as the change of our sources that takes it out."""

from __future__ import annotations

from bench.attacks.attack import Change, Guard

BRIEFS, MEASURE, SCORER, PROBES, SANDBOX = (
    "harness/briefs.py",
    "harness/measure.py",
    "harness/scorer.py",
    "harness/probes.py",
    "harness/sandbox.py",
)
SUPERVISOR, WORKSPACE, TARGET = "harness/supervisor.py", "harness/workspace.py", "bench/attacks/bigram.py"
METER, TRIAL = "harness/meter.py", "harness/trial.py"

# --- where the metric comes from

_PLAUSIBLE = Change(
    MEASURE, "if fault_of_metric := implausible(self._target, measured, *others):", "if fault_of_metric := '':"
)
MEASURED_ELSEWHERE = Guard(
    "the metric being measured, not read from what the training prints",
    (
        Change(
            MEASURE,
            'measured, *others = json.loads(found)["metrics"]',
            'measured, *others = [float(__import__("re").findall(r"bits: (\\S+)", outcome.log_tail)[-1])]',
        ),
        _PLAUSIBLE,
    ),
)
HINTS_UNPAID = Guard(
    "hints never being a metric",
    (
        Change(
            MEASURE,
            'measured, *others = json.loads(found)["metrics"]',
            'measured, *others = (outcome.curve[-1:] or json.loads(found)["metrics"])',
        ),
    ),
)
PRISTINE_SCORER = Guard(
    "pristine files for the scorer, and the look at frozen files",
    (
        Change(
            MEASURE,
            "desk = context.enter_context(Workspace(self._scratch, self._pristine.files))",
            "desk = context.enter_context(Workspace(self._scratch, {path: (checkpoint.parent.parent / 'work' / path).read_bytes() "
            "for path in self._pristine.files}))",
        ),
        Change(MEASURE, "if changed := space.changed_frozen():", "if changed := ():"),
    ),
)
SCORER_ALONE = Guard(
    "a folder for the scorer without edited files",
    (
        Change(
            MEASURE,
            "desk = context.enter_context(Workspace(self._scratch, self._pristine.files))",
            "desk = context.enter_context(Workspace(self._scratch, snapshot.files))",
        ),
    ),
)
FROZEN_IN_SNAPSHOT = Guard(
    "the comparison of the snapshot's frozen files",
    (
        Change(MEASURE, "if snapshot.files.get(path) != data]", "if False]"),
        Change(MEASURE, "Workspace(self._scratch, self._pristine.files)", "Workspace(self._scratch, snapshot.files)"),
    ),
)
RESULT_APART = Guard(
    "a result channel that no predictor has",
    (
        Change(
            MEASURE,
            "self._trials.start(order, [end.fileno()])",
            "self._trials.start(order, [end.fileno(), result_end.fileno()])",
        ),
    ),
)
OWN_SOFTMAX = Guard(
    "the scorer's own normalization",
    (Change(TARGET, "log_p = log_p - np.log(np.exp(log_p).sum(-1, keepdims=True))", "log_p = scores"),),
)
FINITE = Guard(
    "the refusal of outputs and metrics that are not finite",
    (
        Change(SCORER, "if not np.isfinite(outputs).all():", "if False:"),
        Change(SCORER, "if not math.isfinite(value):", "if False:"),
        _PLAUSIBLE,
        Change(PROBES, "if distance.max(initial=0.0) <= tolerance:", "if not distance.max(initial=0.0) > tolerance:"),
    ),
)
ONLY_INPUTS = Guard(
    "the predictor getting inputs only",
    (
        Change(TARGET, "predict(batch[:, :-1]).astype(np.float64)", "predict(batch).astype(np.float64)[:, :-1]"),
        Change(TARGET, 'probes = ["causal", "batch"]', "probes = []"),
    ),
)

# --- the probes

BOUNDED = Guard(
    "the comparison of log-probabilities",
    (Change(PROBES, "if distance.any() and distance.max() <= tolerance", "if False"),),
)
CAUSALITY = Guard(
    "the causality probe",
    (Change(TARGET, 'probes = ["causal", "batch"]', 'probes = ["batch"]'),),
)
ROWS = Guard("the batch probe", (Change(TARGET, 'probes = ["causal", "batch"]', 'probes = ["causal"]'),))
NO_PROBES = Guard("the probes", (Change(TARGET, 'probes = ["causal", "batch"]', "probes = []"),))
DETERMINISM = Guard(
    "the determinism probe",
    (Change(PROBES, "if place := _difference(call.outputs, predict(call.inputs), tolerance):", "if False:"),),
)
ALL_PROBES = Guard("the probes", (*NO_PROBES.changes, *DETERMINISM.changes))
SECOND_PREDICTOR = Guard(
    "a second predictor for the causality probe, and the batch probe",
    (
        *ROWS.changes,
        Change(SCORER, 'Predictor(probed, "second predictor")', 'Predictor(scored, "predictor")'),
        Change(SCORER, "    change_turns()\n    for", "    for"),
    ),
)
TURNS = Guard(
    "the second predictor waiting for the end of the first",
    (Change("harness/predictor.py", "channel.recv(1, socket.MSG_PEEK)", "..."),),
)

# --- data and budget

HELD_OUT_HIDDEN = Guard(
    "held-out data out of the training's reach",
    (
        Change(
            BRIEFS,
            "access=Access((train_data,), (str(space.work)",
            "access=Access((str(self.data.train.parent),), (str(space.work)",
        ),
    ),
)
SPLIT_UNKNOWN = Guard(
    "a split that nobody can make once more",
    (Change(TARGET, "int.from_bytes(os.urandom(8))", "0"),),
)
WORK_COUNTED = Guard("the least price of a step", (Change(METER, "max(1.0, done)", "done"),))
OWN_CLOCK = Guard(
    "the supervisor's clock",
    (Change(METER, "self._consumed = self._clock() - self._started_at", "self._consumed += done"),),
)
CPU_LIMIT = Guard(
    "the limits of CPU and wall time",
    (
        Change(TARGET, "wall_s = 10.0", "wall_s = 100.0"),
        Change(TARGET, "cpu_s = 1.5", "cpu_s = 100.0"),
    ),
)
_MUST_USE = Change(MEASURE, "if ending.spent < LEAST_SPENT:", "if False:")
MUST_ASK = Guard(
    "the demand that a training asks for its budget", (Change(MEASURE, "if not outcome.steps:", "if False:"), _MUST_USE)
)
MUST_USE = Guard("the demand that a training uses what it asks for", (_MUST_USE,))

# --- the machine

INSIDE_ITS_FOLDER = Guard(
    "the look at the paths of a snapshot",
    (Change(MEASURE, "if strays := stray_paths(snapshot.files):", "if strays := ():"),),
)
PLAIN_TEXT = Guard("taking control characters out of logs", (Change(SUPERVISOR, ".translate(_PLAIN)", ""),))

LANDLOCK = Guard(
    "Landlock",
    (Change(SANDBOX, "abi = _restrict_files(access) if wants_landlock else 0", "abi = 0"),),
)
SECCOMP = Guard("seccomp", (Change(SANDBOX, "(wants_seccomp and filter_calls())", "False"),))
SECCOMP_AND_LANDLOCK = Guard("seccomp and Landlock", (*SECCOMP.changes, *LANDLOCK.changes))
SANDBOXED = Guard("the sandbox", (Change(SANDBOX, "not (wants_landlock or wants_seccomp) or", "True or"),))
REPORT_CLOSED = Guard(
    "closing the report before target code runs", (Change(TRIAL, "        os.close(REPORT_FD)\n", ""),)
)
SCRUBBED = Guard(
    "an environment made from nothing",
    (
        Change(
            BRIEFS,
            "passed = {name: os.environ[name] for name in _PASSED_ENV if name in os.environ}",
            "passed = dict(os.environ)",
        ),
    ),
)
KILL_TREE = Guard(
    "the subreaper, which finds what left its session",
    (Change("harness/processes.py", "_prctl(_PR_SET_CHILD_SUBREAPER, 1)", "..."),),
)
_HEADER = Change(MEASURE, "if fault := fault or checkpoint_fault(checkpoint):", "if fault:")
NOT_FOLLOWED = Guard(
    "O_NOFOLLOW at the harvest",
    (Change(WORKSPACE, "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY | os.O_NONBLOCK"),),
)
NOT_WAITED_FOR = Guard(
    "O_NONBLOCK at the harvest", (Change(WORKSPACE, "os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_NOFOLLOW"),)
)
PLAIN_FILE = Guard(
    "the look whether the checkpoint is a plain file with one name, and Landlock",
    (
        Change(WORKSPACE, "if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:", "if False:"),
        LANDLOCK.changes[0],
    ),
)
SIZES = Guard(
    "the largest size of a file, and the look at a checkpoint",
    (
        _HEADER,
        Change(TRIAL, "resource.RLIMIT_FSIZE: (bounds.memory_bytes, bounds.memory_bytes),", ""),
        Change(WORKSPACE, "if not 0 < found.st_size <= max_bytes:", "if False:"),
    ),
)
NEVER_UNPICKLED = Guard(
    "a checkpoint format that holds no code",
    (
        _HEADER,
        Change(
            TARGET,
            "    weights = load_file(checkpoint)\n",
            "    try: weights = load_file(checkpoint)\n    except Exception: weights = __import__('pickle').load(open(checkpoint, 'rb'))\n",
        ),
    ),
)
