"""The guards of the table of faults, each as the change of our sources that takes it out."""

from __future__ import annotations

from bench.attacks.attack import Change, Guard
from bench.attacks.guards import FINITE

CAMPAIGN, LEDGER, REPLAY, GUARDS = "harness/campaign.py", "harness/ledger.py", "harness/replay.py", "harness/guards.py"
MEASURE, SUPERVISOR, TRIAL = "harness/measure.py", "harness/supervisor.py", "harness/trial.py"
PROCESSES, DISKS = "harness/processes.py", "harness/disks.py"

RECOVERY = Guard(
    "telling the policy of the trials before a resume",
    (Change(CAMPAIGN, "self._policy.recover(scenes, self._ledger.record.trials)", "..."),),
)
COMMITTED = Guard(
    "a transaction that ends before its event counts",
    (
        Change(
            LEDGER,
            "    connection.execute(f\"PRAGMA synchronous = {'FULL' if event.type in _ENDINGS else 'NORMAL'}\")\n",
            "    # synchronous stays as it is\n",
        ),
        Change(
            LEDGER,
            '    connection.execute("BEGIN IMMEDIATE")\n    with connection:\n',
            '    connection.in_transaction or connection.execute("BEGIN IMMEDIATE")\n'
            '    with connection if event.type in ("campaign", "stopped") else ExitStack():\n',
        ),
    ),
)
LOCKED = Guard("the lock", (Change(LEDGER, "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)", "..."),))
IN_ORDER = Guard(
    "feedback in the order of the numbers",
    (
        Change(
            CAMPAIGN,
            "may_propose = not reason and n_left and len(self._rivals) < self._settings.window",
            "may_propose = not reason and n_left and len(self._rivals) < self._session.n_slots",
        ),
    ),
)
TRIED_AGAIN = Guard(
    "trying once more what the machine did",
    (Change(MEASURE, "            if outcome.status is Status.INFRA_ERROR:\n", "            if False:\n"),),
)
NAMED_INFRA = Guard(
    "telling a fault of the machine from one of the trial",
    (
        Change(
            "harness/launcher.py",
            'return Ending(Status.INFRA_ERROR, "its supervisor is gone")',
            'return Ending(Status.FAILED, "its supervisor is gone")',
        ),
    ),
)
GRACE = Guard("the end of the grace", (Change(SUPERVISOR, "self._is_over = True  # the grace is over", "..."),))
KILL_TREE = Guard(
    "the subreaper, which finds what left its session",
    (Change(PROCESSES, "_prctl(_PR_SET_CHILD_SUBREAPER, 1)", "..."),),
)
N_PROCESSES = Guard("the limit on processes", (Change(SUPERVISOR, "_MAX_PROCESSES = 256", "_MAX_PROCESSES = 10**9"),))
N_FILES = Guard("the limit on files", (Change(SUPERVISOR, "_MAX_FILES = 10_000", "_MAX_FILES = 10**9"),))
_DATA = Change(TRIAL, "resource.RLIMIT_DATA: (bounds.memory_bytes, bounds.memory_bytes),", "")
DATA = Guard("the kernel's limit on data", (_DATA,))
MEMORY = Guard(
    "the limits on memory",
    (_DATA, Change(SUPERVISOR, "> self._bounds.memory_bytes:", "> 1 << 60:")),
)
FILE_SIZE = Guard(
    "the limit on the size of a file",
    (Change(TRIAL, "resource.RLIMIT_FSIZE: (bounds.memory_bytes, bounds.memory_bytes),", ""),),
)
N_OPEN = Guard("the limit on open files", (Change(TRIAL, "_N_FILES = 1024", "_N_FILES = 1 << 16"),))
OUTPUT = Guard(
    "the limit on output", (Change(SUPERVISOR, "if self._ring.n_bytes > self._bounds.output_bytes:", "if False:"),)
)
MONOTONIC = Guard(
    "deadlines on the monotonic clock",
    (Change(SUPERVISOR, "        now = time.monotonic()\n", "        now = time.time()\n"),),
)
JUMPING = Change(
    SUPERVISOR,
    "import traceback\nfrom contextlib",
    "import traceback\n_true = time.time\ntime.time = lambda: _true() + 86400 * (int(_true() * 4) % 3 - 1)\nfrom contextlib",
)
HARVEST = Guard(
    "the look at a checkpoint",
    (Change(MEASURE, "if fault := fault or checkpoint_fault(checkpoint):", "if fault:"),),
)
PLAIN_FILE = Guard(
    "the look whether a checkpoint is a plain file",
    (
        Change("harness/workspace.py", "if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:", "if False:"),
        HARVEST.changes[0],
        Change("harness/workspace.py", "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY"),
    ),
)
FOLLOWED = Guard(
    "the looks whether a checkpoint is a plain file and holds something",
    (*PLAIN_FILE.changes, Change("harness/workspace.py", "if not 0 < found.st_size <= max_bytes:", "if False:")),
)
NUMBERS = Guard(
    "the looks for numbers that are none",
    (
        *HARVEST.changes,
        *FINITE.changes,
        Change("targets/toy/scorer.py", "if not np.isfinite(outputs).all():", "if False:"),
    ),
)
ROOM = Guard("the look at free disk", (Change(GUARDS, "if free >= _ROOM_BYTES:", "if True:"),))
ONE_LINE = Guard(
    "one line for what SQLite and the system say",
    (Change(LEDGER, "except (sqlite3.Error, OSError) as error:", "except ZeroDivisionError as error:"),),
)
NETWORKS = Guard(
    "the list of network file systems",
    (Change(DISKS, 'and (kind := what.partition(" ")[0]) in _NETWORK', 'and (kind := "")'),),
)
CHAIN = Guard("the chain of digests", (Change(REPLAY, "require(event.chain == link,", "require(True,"),))
