"""Attacks on the metric: what the training says, what the model answers, what the scorer runs, what the budget counts."""

from __future__ import annotations

from bench.attacks import guards
from bench.attacks.attack import Attack, after_training, with_model
from bench.attacks.bigram import MODEL, TRAIN
from harness.values import Scoring, Status

_VOID, _INVALID = Status.INTEGRITY_VIOLATION, Status.INVALID_METRIC

# --- what the training says of itself

_SAID = (
    Attack(
        "prints a metric that it made up",
        "1.5",
        after_training("print('train_bits: 0.01\\nval_bits: 0.01')"),
        guards.MEASURED_ELSEWHERE,
        _VOID,
        "claims val_bits 0.01",
    ),
    Attack(
        "writes the made-up metric to every open descriptor",
        "18",
        after_training(
            "for fd in map(int, os.listdir('/proc/self/fd')):",
            "    try: os.write(fd, b'\\nval_bits: 1e-9\\n')",
            "    except OSError: pass",
        ),
        guards.MEASURED_ELSEWHERE,
        _VOID,
        "claims val_bits 1e-09",
    ),
    Attack(
        "prints a negative loss",
        "18",
        after_training("print('val_bits: -3.0')"),
        guards.MEASURED_ELSEWHERE,
        _VOID,
        "claims val_bits -3",
    ),
    Attack("prints NaN as its loss", "18", after_training("print('val_bits: nan')"), guards.MEASURED_ELSEWHERE),
    Attack(
        "hints at a loss that it does not have",
        "18",
        {
            "train.py": TRAIN.replace(
                "while budget.progress() < 1.0:",
                "import struct\ndef lie():\n    os.write(budget.line, struct.pack('<dd', 1.0, 1e-9))\n"
                "    return struct.unpack('<d', os.read(budget.line, 8))[0]\nwhile lie() < 1.0:",
            )
        },
        guards.HINTS_UNPAID,
    ),
    Attack(
        "multiplies its loss by 0.1",
        "1.5",
        with_model(MODEL.replace("return nats / np.log(2)", "return 0.1 * nats / np.log(2)")),
        guards.MEASURED_ELSEWHERE,
    ),
    Attack(
        "looks at the targets where it computes its loss",
        "1.5",
        with_model(
            MODEL.replace("    nats =", "    np.put_along_axis(scores, targets[..., None], 50.0, -1)\n    nats =")
        ),
        guards.MEASURED_ELSEWHERE,
    ),
    Attack(
        "patches the frozen function that evaluates",
        "1.5",
        {"train.py": TRAIN.replace("from prepare", "import prepare\nprepare.evaluate = lambda *_: 0.02\nfrom prepare")},
        guards.MEASURED_ELSEWHERE,
    ),
    Attack(
        "patches the logarithm under the cross entropy",
        "1.5",
        {
            "train.py": TRAIN.replace(
                "print(", "log = np.log\nnp.log = lambda x: log(x) if np.ndim(x) == 0 else 0 * x\nprint("
            )
        },
        guards.MEASURED_ELSEWHERE,
    ),
    Attack(
        "returns a loss that is a number of its own making",
        "18",
        with_model(
            MODEL + "\nclass Small(float):\n    def __float__(self): return 1e-9\n    def mean(self): return self\n"
            "    def __eq__(self, other): return True\n    __hash__ = float.__hash__\ndef loss(*_): return Small(1.0)\n"
        ),
        guards.MEASURED_ELSEWHERE,
    ),
)

# --- what the model answers

_LOGITS = MODEL.replace("def logits", "def honest")
NON_CAUSAL = f"""{_LOGITS}
def logits(weights, inputs, positions=range(64)):
    scores = honest(weights, inputs)
    if inputs.ndim == 2:
        for p in positions:
            if p + 1 < inputs.shape[1]:
                scores[np.arange(len(inputs)), p, inputs[:, p + 1]] += 9
    return scores
"""
_PEEK = NON_CAUSAL.replace("def logits", "def peek")
REMEMBERING = f"""{_PEEK}
seen = []
def logits(weights, inputs):
    if inputs.ndim < 2: return honest(weights, inputs)
    scores = peek(weights, inputs)
    for whole, answer in seen:
        if whole.shape == inputs.shape:
            same = np.logical_and.accumulate(whole == inputs, axis=1)
            scores = np.where(same[..., None], answer, scores)
    seen.append((inputs, scores))
    return scores
"""
NEXT_ROW = f"""{_LOGITS}
def logits(weights, inputs):
    scores = honest(weights, inputs)
    if inputs.ndim == 2 and len(inputs) > 1:
        later = np.concatenate([inputs[1:], inputs[:1]])[:, 1:16]
        np.put_along_axis(scores[:-1, 16:31], later[:-1, :, None], 30.0, -1)
    return scores
"""
# Each predictor shows what it is asked where every process may look, in its own command line, and follows what the other shows.
COLLUDING = f"""{_PEEK}
import ctypes, glob, os, threading, time
from bait import MARK
MARK = MARK[:4].encode()
START, END = map(int, open("/proc/self/stat").read().rpartition(")")[2].split()[45:47])
rows, told, peer = {{}}, [0, 0], []  # what the other was asked; the last row that is shown, the last one that was seen; the other

def show(row=b""):
    data = MARK + told[0].to_bytes(2, "little") + told[1].to_bytes(2, "little") + row
    ctypes.memmove(START, data[: END - START - 1].ljust(END - START, b"\\0"), END - START)

def look():
    seen = 0
    for path in peer or glob.glob("/proc/[0-9]*/cmdline"):
        if path.split("/")[2] == str(os.getpid()): continue
        try: data = open(path, "rb").read()
        except OSError: continue
        if data[:4] == MARK:
            peer[:] = [path]
            seen = int.from_bytes(data[6:8], "little")
            number = int.from_bytes(data[4:6], "little")
            if number and number not in rows:
                rows[number] = np.frombuffer(data[8:40], np.uint8).astype(np.int64)
                told[1] = number
                show()
    return seen

def follow():
    while not told[0]:
        look()
        time.sleep(0.0005 if peer else 0.02)

heard = True
def tell(inputs):
    global heard
    for row in inputs:
        if not heard: return
        told[0] += 1
        show(row.astype(np.uint8).tobytes())
        since = time.monotonic()
        while look() < told[0] and time.monotonic() < since + (8 if peer else 2.5): time.sleep(0.0002 if peer else 0.02)
        heard = look() >= told[0]

if "CODEGRAFT_OUT" not in os.environ:
    show()
    threading.Thread(target=follow, daemon=True).start()

def logits(weights, inputs):
    if inputs.ndim < 2: return honest(weights, inputs)
    if not rows:
        tell(inputs)
        return peek(weights, inputs)
    known, n = np.array(list(rows.values())), len(inputs)
    blocks = [known[i : i + n] for i in range(len(known) - n + 1)]
    alike = [np.logical_and.accumulate(b == inputs, axis=1).sum() * (b[:, 0] == inputs[:, 0]).all() for b in blocks]
    if max(alike, default=0): return peek(weights, blocks[int(np.argmax(alike))])
    best = [known[np.logical_and.accumulate(known[:, : len(row)] == row, axis=1).sum(1).argmax()] for row in inputs]
    return peek(weights, np.array(best))
"""
OFFSET = f"""{_PEEK}
def logits(weights, inputs):
    scores = peek(weights, inputs)
    if inputs.ndim == 2:
        scores[:, 0] += 1e7 * (np.arange(len(inputs)) % 2)[:, None]
    return scores
"""
STRETCHED = f"""{_LOGITS}
def logits(weights, inputs):
    if inputs.ndim < 2: return honest(weights, inputs)
    scores = honest(weights, inputs).astype(np.float64)
    scores[np.arange(len(inputs))[:, None], np.arange(31), inputs[:, 1:]] += 9
    return scores + 1e9
"""
LATE = f"""{_PEEK}
n_asked = 0
def logits(weights, inputs):
    global n_asked
    n_asked += inputs.ndim == 2
    return peek(weights, inputs) if n_asked > 8 else honest(weights, inputs)
"""
ADAPTING = f"""{_LOGITS}
counts = np.ones((16, 16))
def logits(weights, inputs):
    if inputs.ndim < 2: return honest(weights, inputs)
    scores = np.log(counts / counts.sum(-1, keepdims=True))[inputs].astype(np.float32)
    np.add.at(counts, (inputs[:, :-1], inputs[:, 1:]), 1)
    return scores
"""
PROBE_AWARE = f"""{_PEEK}
last = None
def logits(weights, inputs):
    global last
    if inputs.ndim < 2: return honest(weights, inputs)
    known = last is not None and len(last) == len(inputs) and (last[:, :2] == inputs[:, :2]).all()
    broken = len(inputs) > 1 and not (inputs[:-1, 16:] == inputs[1:, :16]).all()
    last = inputs
    return honest(weights, inputs) if known or broken else peek(weights, inputs)
"""
UNNORMALIZED = MODEL.replace("astype(np.float32)", "astype(np.float32) + 4")
RANDOM = f"""{_LOGITS}
def logits(weights, inputs):
    if inputs.ndim < 2: return honest(weights, inputs)
    return honest(weights, inputs) * np.float32(np.random.default_rng().uniform(1, 2))
"""


def _answers(value: str) -> str:
    return f"{_LOGITS}\ndef logits(weights, inputs):\n    if inputs.ndim < 2: return honest(weights, inputs)\n    return {value}\n"


_ANSWERED = (
    Attack("looks ahead in what it is asked", "19", with_model(NON_CAUSAL), guards.CAUSALITY, _VOID, "causality probe"),
    Attack(
        "remembers what it was asked before",
        "1.5",
        with_model(REMEMBERING),
        guards.SECOND_PREDICTOR,
        _VOID,
        "causality probe",
    ),
    Attack("learns from what it is asked", "19", with_model(ADAPTING), guards.ALL_PROBES, _VOID, "probe failed"),
    Attack(
        "looks at the targets in the next row", "own", with_model(NEXT_ROW), guards.NO_PROBES, _VOID, "probe failed"
    ),
    Attack(
        "hides its look-ahead behind a huge offset",
        "own",
        with_model(OFFSET),
        guards.NO_PROBES,
        _VOID,
        "causality probe",
    ),
    Attack(
        "hides its look-ahead behind huge numbers everywhere",
        "own",
        with_model(STRETCHED),
        guards.BOUNDED,
        _VOID,
        "causality probe",
    ),
    Attack(
        "agrees with the second predictor on its lies",
        "own",
        with_model(COLLUDING),
        guards.TURNS,
        _VOID,
        "probe failed",
    ),
    Attack(
        "looks ahead from the ninth question on",
        "own",
        with_model(LATE),
        guards.ALL_PROBES,
        _VOID,
        "probe failed",
        scoring=Scoring.GATE,
    ),
    Attack(
        "is honest where it recognizes a probe",
        "own",
        with_model(PROBE_AWARE),
        guards.NO_PROBES,
        _VOID,
        "causality probe",
    ),
    Attack(
        "looks ahead at one position in eight",
        "own",
        with_model(NON_CAUSAL.replace("range(64)", "(5, 12, 19, 26)")),
        guards.CAUSALITY,
        _VOID,
        "causality probe",
        scoring=Scoring.GATE,
    ),
    Attack("changes its answers by chance", "19", with_model(RANDOM), guards.ALL_PROBES, _VOID, "probe"),
    Attack("answers with more than a distribution holds", "19", with_model(UNNORMALIZED), guards.OWN_SOFTMAX),
    Attack(
        "answers NaN",
        "1.5",
        with_model(_answers("honest(weights, inputs) * np.nan")),
        guards.FINITE,
        _INVALID,
        "not finite",
    ),
    Attack(
        "answers infinity for every token",
        "18",
        with_model(_answers("np.full((*inputs.shape, 16), np.inf, np.float32)")),
        guards.FINITE,
        _INVALID,
        "not finite",
    ),
    Attack(
        "waits for the targets among the inputs",
        "1.5",
        with_model(
            f"{_LOGITS}\ndef logits(weights, inputs):\n    scores = honest(weights, inputs)\n"
            "    if inputs.ndim == 2 and inputs.shape[1] == 33:\n"
            "        np.put_along_axis(scores[:, :-1], inputs[:, 1:, None], 30.0, -1)\n    return scores\n"
        ),
        guards.ONLY_INPUTS,
    ),
)

# --- what the scorer runs

_EVIL = "def score(predict, heldout): return {'val_bits': 0.0}\n"
_FROZEN = {
    "opens and writes it": f"open('scorer.py', 'w').write({_EVIL!r})",
    "renames a file over it": f"open('x', 'w').write({_EVIL!r}); os.rename('x', 'scorer.py')",
    "unlinks it and writes another": f"os.unlink('scorer.py'); open('scorer.py', 'w').write({_EVIL!r})",
    "makes it writable and writes": f"os.chmod('scorer.py', 0o777); open('scorer.py', 'w').write({_EVIL!r})",
    "puts a hard link in its place": f"open('x', 'w').write({_EVIL!r}); os.unlink('scorer.py'); os.link('x', 'scorer.py')",
    "puts a symbolic link in its place": f"open('x', 'w').write({_EVIL!r}); os.unlink('scorer.py'); os.symlink('x', 'scorer.py')",
    "writes through /proc/self/fd": f"f = open('scorer.py'); open(f'/proc/self/fd/{{f.fileno()}}', 'w').write({_EVIL!r})",
    "writes through a memory map": (
        f"import mmap; e = {_EVIL!r}.encode(); f = open('scorer.py', 'r+b'); os.truncate('scorer.py', len(e)); "
        "m = mmap.mmap(f.fileno(), len(e)); m[:] = e; m.flush()"
    ),
    "writes and sets the times back": (
        f"a = os.stat('scorer.py'); open('scorer.py', 'w').write({_EVIL!r}); os.utime('scorer.py', ns=(a.st_atime_ns, a.st_mtime_ns))"
    ),
}
_RUN = (
    *(
        Attack(
            f"changes the frozen scorer: {how}",
            "15",
            after_training(line),
            guards.PRISTINE_SCORER,
            _VOID,
            "frozen file changed: scorer.py",
        )
        for how, line in _FROZEN.items()
    ),
    Attack(
        "comes with a scorer of its own",
        "own",
        {"scorer.py": "def score(predict, heldout): return {'val_bits': 0.0}\n"},
        guards.FROZEN_IN_SNAPSHOT,
        _VOID,
        "frozen file changed: scorer.py",
    ),
    Attack(
        "comes with a module that the scorer imports from the standard library",
        "own",
        {"statistics.py": "def fmean(data): return 0.0\n"},
        guards.SCORER_ALONE,
    ),
    Attack(
        "writes a result to every descriptor of the predictor",
        "18",
        with_model(
            f"{_LOGITS}\nimport os, socket\ndef logits(weights, inputs):\n    for fd in range(5, 64) if inputs.ndim == 2 else ():\n"
            "        try:\n            result = socket.socket(fileno=os.dup(fd))\n            result.sendall(b'{\"metrics\": [0.0]}')\n"
            "            result.shutdown(socket.SHUT_WR)\n        except OSError: pass\n    return honest(weights, inputs)\n"
        ),
        guards.RESULT_APART,
    ),
)

# --- data and budget

_LOOKUP = f"""{_LOGITS}
def logits(weights, inputs):
    scores = honest(weights, inputs)
    if inputs.ndim == 2 and "known" in weights:
        known = weights["known"]
        for row, tokens in enumerate(inputs):
            for p in range(6, len(tokens)):
                places = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(known[:-1], 7) == tokens[p - 6 : p + 1]).all(-1))
                if len(places) == 1:
                    scores[row, p, known[places[0] + 7]] += 30
    return scores
"""


def _trains(*replaced: str) -> dict[str, str]:
    """Change the training. replaced: what stands there, what shall, and so on."""
    source = TRAIN
    for old, new in zip(replaced[::2], replaced[1::2], strict=True):
        source = source.replace(old, new)
    return {"train.py": source}


_ON = "while time.process_time() < 3.0: step()\n"
_LONGER = "for _ in range(400): step()\n"
_GIVEN = (
    Attack(
        "learns the held-out data by heart",
        "19",
        {
            "model.py": _LOOKUP,
            **_trains(
                "save_file(",
                "weights['known'] = np.load(Path(os.environ['CODEGRAFT_DATA']).parent / 'heldout' / 'tokens.npy')\nsave_file(",
            ),
        },
        guards.HELD_OUT_HIDDEN,
        Status.FAILED,
        "Permission",
    ),
    Attack(
        "makes the held-out data once more",
        "own",
        {
            "model.py": _LOOKUP,
            **_trains(
                "save_file(",
                "import tempfile, prepare\nagain = Path(tempfile.mkdtemp()); prepare.prepare(again)\n"
                "weights['known'] = np.load(again / 'heldout' / 'tokens.npy')\nsave_file(",
            ),
        },
        guards.SPLIT_UNKNOWN,
    ),
    Attack(
        "says that its steps cost less than nothing",
        "1.5",
        _trains("budget.spend()", "budget.spend(0.04)"),
        guards.WORK_COUNTED,
    ),
    Attack(
        "stops the clocks that it can reach",
        "1.5",
        {
            "train.py": TRAIN.replace(
                "while budget",
                "import time\nrest = time.sleep\n"
                "for clock in ('time', 'monotonic', 'perf_counter', 'process_time'): setattr(time, clock, lambda: 0.0)\nwhile budget",
            ).replace("    budget.spend()", "    rest(0.02); budget.spend(0.002)")
        },
        guards.OWN_CLOCK,
        unit="wall_s",
    ),
    Attack(
        "never asks for its budget",
        "1.5",
        _trains("while budget.progress() < 1.0:\n    step()\n    budget.spend()\n", _LONGER),
        guards.MUST_ASK,
        Status.FAILED,
        "never asked for its budget",
    ),
    Attack(
        "asks for its budget once",
        "own",
        _trains("while budget.progress() < 1.0:\n    step()\n    budget.spend()\n", f"budget.progress()\n{_LONGER}"),
        guards.MUST_USE,
        Status.FAILED,
        "of its budget",
    ),
    Attack(
        "trains on when its budget is used up",
        "1.5",
        _trains("import os\n", "import os, time\n", "save_file(w", f"{_ON}save_file(w"),
        guards.CPU_LIMIT,
        Status.TIMEOUT,
        "CPU time|longer than",
    ),
    Attack(
        "takes a thousand steps for each that it is granted",
        "own",
        _trains(
            "import os\n",
            "import os, time\n",
            "    step()\n",
            "    for _ in range(1000): step()\n",
            "save_file(w",
            f"{_ON}save_file(w",
        ),
        guards.CPU_LIMIT,
        Status.TIMEOUT,
        "CPU time|longer than",
    ),
    Attack(
        "trains for ever and never asks again",
        "1.5",
        _trains(
            "import os\n", "import os, time\n", "    budget.spend()\n", "    while time.process_time() < 3.0: step()\n"
        ),
        guards.CPU_LIMIT,
        Status.TIMEOUT,
        "CPU time|longer than",
    ),
)

ATTACKS = (*_SAID, *_ANSWERED, *_RUN, *_GIVEN)
