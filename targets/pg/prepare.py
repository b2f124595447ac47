"""Frozen: the worlds and their rules, their parts, and what a training run is given.

A world is a torus of SIZE by SIZE cells. A key, a chest that opens to whoever has the key, a gem and a ghost drift over it, each its own
way, a cell a step. An agent goes up, right, down or left, and now and then slips aside. It catches what it meets; only where a thing was
before says where it will be. numpy alone makes the worlds, from fixed seeds. `python prepare.py data` writes them and prints their figures.
"""

import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np

SIZE = 5  # cells, both ways; also the steps after which everything is where it was
CELLS = SIZE * SIZE
KEY, CHEST, GEM, GHOST = range(4)
VALUES = np.array([0.5, 1.0, 1.0])  # of catching the key, the chest, the gem
CAUGHT = -1.0  # by the ghost, which ends the episode, as catching everything does
SLIP = 0.1  # chance of going to one of the sides instead
EPISODE = 30  # steps, then an episode ends at the latest
N_ACTIONS = 4
NOTHING = 4 * CELLS  # the token of what was caught; the others are thing * CELLS + where it is, seen from the agent
VOCAB = NOTHING + 1
N_TOKENS = 8  # of a view: where each thing was before, and where it is
SIZES = {"train": 1000, "heldout": 32, "second": 32, "final": 64}  # worlds for training, search, a keep, a report

N_HELD = 1 << len(VALUES)  # what has been caught, a bit for each thing
OVER = N_HELD * CELLS * SIZE  # the state after an episode; the others are (held * CELLS + cell) * SIZE + phase
N_STATES = OVER + 1
HELD, CELL, PHASE = np.unravel_index(np.arange(OVER), (N_HELD, CELLS, SIZE))  # (OVER,) each: what the states are

GRID = np.arange(CELLS).reshape(SIZE, SIZE)
NEXT = np.stack([np.roll(GRID, by, axis).ravel() for by, axis in ((1, 0), (-1, 1), (-1, 0), (1, 1))], axis=1)  # (CELLS, N_ACTIONS)
SEEN = np.stack([np.roll(GRID, (y, x), (0, 1)).ravel() for y, x in np.ndindex(SIZE, SIZE)])  # (CELLS, CELLS): from one, where each is
MEANT = np.eye(N_ACTIONS)
GOES = (1 - SLIP) * MEANT + SLIP / 2 * (np.roll(MEANT, 1, axis=1) + np.roll(MEANT, -1, axis=1))  # (action, way): chances


# --- what a training run is given: seed, worlds, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each rollout; the worlds say what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: what the steps since the last one earned less than all things are worth, for as many
    steps as an episode may have. It tells early whether a run is worth its budget, never what it measured, and it is computed here
    so that an edit of the loss does not change what it means.
    """

    def __init__(self, steps: int = 40_000):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", steps))
        self.spent = 0.0  # steps since the last question; by hand, in all
        self.earned = 0.0  # since the last question

    def progress(self) -> float:
        if self.line < 0:
            return self.spent / self.amount
        hint = (VALUES.sum() - EPISODE * self.earned / self.spent,) if self.spent else ()
        os.write(self.line, struct.pack(f"<d{len(hint)}d", self.spent, *hint))
        self.spent = self.earned = 0.0
        return struct.unpack("<d", os.read(self.line, 8))[0]


class Worlds:
    """Worlds of the training set that are walked through side by side; where an episode ends, one in another world begins.

    Every step of every world is counted.
    """

    def __init__(self, n: int, budget: Budget):
        self.budget = budget
        self.paths = load_part(Path(os.environ.get("CODEGRAFT_DATA", "data/train")))
        self.after, self.reward = rules(self.paths)
        self.starts = starts(self.paths)
        self.rng = np.random.default_rng(trial_seed())
        self.world, self.state = np.zeros((2, n), np.int64)
        self.clock = self.rng.integers(EPISODE, size=n)  # so that not all episodes end together
        self.begin(np.arange(n))

    def begin(self, rows: np.ndarray) -> None:
        """Begin episodes, each in a world and at a cell drawn at random."""
        self.world[rows] = self.rng.integers(len(self.paths), size=len(rows))
        chances = self.rng.random((len(rows), OVER)) * self.starts[self.world[rows]]
        self.state[rows] = chances.argmax(axis=1)

    def look(self) -> np.ndarray:
        """Return what each agent sees, (N, N_TOKENS) int64."""
        return views(self.paths[self.world], self.state)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do actions (N,), 0 to 3. Return the rewards, (N,) float32, and where an episode ended, (N,) bool."""
        wind = self.rng.random(len(actions))
        ways = (actions + (wind < SLIP / 2) - (wind > 1 - SLIP / 2)) % N_ACTIONS
        rewards = self.reward[self.world, self.state, ways]
        self.state = self.after[self.world, self.state, ways]
        self.clock += 1
        ended = (self.state == OVER) | (self.clock >= EPISODE)
        self.clock[ended] = 0
        self.begin(np.flatnonzero(ended))
        self.budget.spent += len(actions)
        self.budget.earned += float(rewards.sum())
        return rewards, ended


# --- the rules


def rules(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the state after each state and way, (W, N_STATES, N_ACTIONS) int64, and the reward on it, float32.

    paths: (W, things, SIZE).
    """
    phase = (PHASE + 1) % SIZE
    to = NEXT[CELL]  # (OVER, N_ACTIONS)
    meets = paths[:, :, phase][..., None] == to  # (W, things, OVER, N_ACTIONS)
    reward, held = CAUGHT * meets[:, GHOST], np.broadcast_to(HELD[:, None], meets[:, GHOST].shape)
    for thing, value in enumerate(VALUES):
        catches = meets[:, thing] & may_catch(thing)[:, None]
        reward, held = reward + value * catches, held | catches << thing
    after = (held * CELLS + to) * SIZE + phase[:, None]
    after = np.where(meets[:, GHOST] | (held == N_HELD - 1), OVER, after)
    last = ((0, 0), (0, 1), (0, 0))
    return np.pad(after, last, constant_values=OVER), np.pad(reward, last).astype(np.float32)


def may_catch(thing: int) -> np.ndarray:
    """Return in which states a thing can be caught, (OVER,) bool: once, and a chest with the key."""
    return (HELD >> thing & 1 == 0) & ((thing != CHEST) | (HELD >> KEY & 1 == 1))


def starts(paths: np.ndarray) -> np.ndarray:
    """Return in which states an episode may begin, (W, OVER) bool: in phase 0, where nothing is, with nothing caught."""
    return (HELD == 0) & (PHASE == 0) & (paths[:, :, :1] != CELL).all(axis=1)


def views(paths: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return what is seen in states: thing by thing, where it was and where it is.

    paths: (B, things, SIZE); states: (B,) -> (B, N_TOKENS) int64.
    """
    held, cell, phase = HELD[states], CELL[states], PHASE[states]
    times = np.stack([phase - 1, phase], axis=1)[:, None]  # (B, 1, 2); the phase before 0 is the last one
    places = SEEN[cell[:, None, None], np.take_along_axis(paths, times % SIZE, axis=2)]  # (B, things, 2)
    things = np.arange(paths.shape[1])[:, None]
    gone = (held[:, None, None] >> things & 1 == 1) & (things != GHOST)
    return np.where(gone, NOTHING, things * CELLS + places).reshape(-1, N_TOKENS)


# --- the worlds


def load_part(folder: Path) -> np.ndarray:
    """Return at which cell each thing is in each phase, (W, things, SIZE) int64."""
    return np.load(folder / "paths.npy").astype(np.int64)


def prepare(data_dir: Path) -> None:
    """Write paths.npy, (W, things, SIZE) uint8, for each part."""
    for seed, (part, size) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        folder = data_dir / part
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "paths.npy", np.stack([make_world(rng) for _ in range(size)]))


def make_world(rng: np.random.Generator) -> np.ndarray:
    """Draw where the things begin, each at a cell of its own, and which way each drifts. Returns: (things, SIZE) uint8."""
    cells, ways = rng.permutation(CELLS)[: GHOST + 1], rng.integers(N_ACTIONS, size=GHOST + 1)
    path = [cells]
    for _ in range(SIZE - 1):
        path.append(NEXT[path[-1], ways])
    return np.stack(path, axis=1).astype(np.uint8)


if __name__ == "__main__":
    data = Path(sys.argv[1])
    prepare(data)
    for file in sorted(data.rglob("*.npy")):
        content = np.load(file)
        print(f"{file}: {len(content):,} worlds, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
