"""Frozen: the table and its parts, the constants of the task, and what a training run is given.

The task is to say how much power a town draws in an hour, from the calendar and the weather. All of it is invented:
households with two peaks a day, businesses with office hours, heating that lags, cooling, lamps, panels on the roofs. Some
columns mean nothing. Every fiftieth reading of the training part is wrong, as meters are; the readings that are held out
were checked. numpy alone makes it, from fixed seeds. `python prepare.py data` writes it and prints its figures.
"""

import hashlib
import os
import struct
import sys
from pathlib import Path

import numpy as np

CATEGORIES = {"town": 12, "hour": 24, "weekday": 7}  # the first columns: whole numbers from 0
NUMBERS = ("day of the year", "temperature", "mean of 24 h", "sunshine", "wind", "holiday", "price")  # then these
N_IDLE = 5  # and columns that mean nothing, with outliers
N_NUMBERS = len(NUMBERS) + N_IDLE
HINTS = 150  # of the loss while a training runs; the baseline gives one every fourth step
SIZES = {"train": 12000, "heldout": 6000, "second": 3000, "final": 6000}  # rows for training, search, a keep, a report
NOISE = 0.04  # sd of the load, as a share of it
FAULTS = 0.02  # share of the readings for training that are wrong


# --- what a training run is given: seed, data, a place for the checkpoint, and a budget


def trial_seed() -> int:
    return int(os.environ.get("CODEGRAFT_SEED", "0"))


def load_train() -> tuple[np.ndarray, np.ndarray]:
    """Return rows (rows, 3 + N_NUMBERS) and the loads in megawatts (rows,), float32."""
    return load_part(Path(os.environ.get("CODEGRAFT_DATA", "data/train")))


def load_part(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    table = np.load(folder / "table.npy")  # float32, the loads in the last column
    return np.ascontiguousarray(table[:, :-1]), np.ascontiguousarray(table[:, -1])


def checkpoint_path() -> Path:
    return Path(os.environ.get("CODEGRAFT_OUT", ".")) / "model.safetensors"


class Budget:
    """Ask for progress before each step, say after it what it took; at 1.0 the budget is used up.

    The count is kept by the process that started this one: each question sends the work done since the last one as a
    little-endian double, the answer is the progress as another. Run by hand, without such a process, it counts here.

    A second double in a question is a hint: the error of a step since the last one. It tells early whether a run is worth its
    budget, never what it measured, and it is computed here so that an edit of the loss does not change what it means.
    """

    def __init__(self, steps: int = 600):
        self.line = int(os.environ.get("CODEGRAFT_BUDGET_FD", "-1"))
        self.amount = float(os.environ.get("CODEGRAFT_BUDGET", steps))
        self.spent = 0.0  # since the last question; by hand, in all
        self.known = self.hint_at = 0.0  # progress: the last answer, and when the next hint is due
        self.hint: tuple[float, ...] = ()  # at most one

    def progress(self) -> float:
        if self.line < 0:
            return self.spent / self.amount
        os.write(self.line, struct.pack(f"<d{len(self.hint)}d", self.spent, *self.hint))
        self.spent, self.hint = 0.0, ()
        self.known = struct.unpack("<d", os.read(self.line, 8))[0]
        return self.known

    def spend(self, predicted=None, loads=None, *, steps: float = 1.0) -> None:
        """Count work. predicted and loads (B,), tensors, are what the hint is made from: mean absolute error, deaf to faults."""
        self.spent += steps
        if self.line >= 0 and predicted is not None and self.known >= self.hint_at:
            self.hint_at = self.known + 1 / HINTS
            self.hint = ((predicted.detach() - loads).abs().mean().item(),)


# --- the table


def prepare(data_dir: Path) -> None:
    """Write table.npy for each part, (rows, 3 + N_NUMBERS + 1) float32 with the loads in the last column."""
    for seed, (part, size) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        columns = calendar_and_weather(size, rng)
        load = expected_load(columns) * np.exp(NOISE * rng.normal(size=size))
        if part == "train":
            load = misread(load, rng)
        idle = rng.standard_t(3, (N_IDLE, size))
        file = data_dir / part / "table.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.column_stack([*columns.values(), *idle, load]).astype(np.float32))


def calendar_and_weather(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw hours of a year, (size,) per column, in the order of the table."""
    town, hour, weekday = (rng.integers(n, size=size) for n in CATEGORIES.values())
    day = rng.integers(365, size=size)
    season = -np.cos(2 * np.pi * (day - 20) / 365)  # -1 in January, 1 in July
    weather = rng.normal(0, 4, size)
    temperature = 10 + 9 * season + 3.5 * np.cos(2 * np.pi * (hour - 15) / 24) + weather
    mean_of_day = 10 + 9 * season + 0.7 * weather + rng.normal(0, 1.5, size)
    height = np.sin(np.pi * (hour - 6 + 1.5 * season) / (12 + 3 * season))  # of the sun, from rise to set
    sunshine = np.clip(height, 0, 1) * rng.beta(1.2, 1.2, size)
    wind = rng.gamma(2.0, 2.0, size)
    holiday = (rng.random(size) < 0.04).astype(float)
    price = np.exp(rng.normal(3.5, 0.6, size))
    numbers = (day, temperature, mean_of_day, sunshine, wind, holiday, price)
    return {"town": town, "hour": hour, "weekday": weekday, **dict(zip(NUMBERS, numbers))}


def expected_load(c: dict[str, np.ndarray]) -> np.ndarray:
    """Return megawatts, (rows,), without noise."""
    rng = np.random.default_rng(100)
    size, business, heating, cooling, panels, late = rng.uniform(
        (0.5, 0.1, 0.2, 0.1, 0.0, -1.5), (2.5, 0.9, 1.0, 0.8, 0.9, 1.5), (CATEGORIES["town"], 6)
    ).T[:, c["town"]]  # (6, rows)
    hour, day = c["hour"] - late, c["day of the year"]
    off = (c["weekday"] >= 5) | (c["holiday"] > 0)
    home = 0.3 + bump(hour, np.where(off, 10, 7), 1.8) + 1.3 * bump(hour, 19, 2.5) + np.where(off, 0.6, 0.15) * bump(hour, 13, 3)
    summer_break = 1 - 0.35 * bump(day, 220, 12)
    office = np.where(off, 0.15, 1.0 * summer_break) * sigmoid(hour - 7.5) * sigmoid(17.5 - hour)
    felt = 0.6 * c["mean of 24 h"] + 0.4 * c["temperature"] - 0.2 * c["wind"]
    heat = heating * softplus((14 - felt) / 3) / 2 * (0.5 + home)
    cool = cooling * softplus((c["temperature"] - 22) / 2) * (0.2 + office)
    lamps = 0.3 * home * (c["sunshine"] < 0.1)
    load = 0.4 + (1 - business) * home + 1.5 * business * office + heat + cool + lamps - panels * c["sunshine"]
    return size * np.maximum(load, 0.1)


def misread(load: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Break some readings: a meter that stood still, or counted twice."""
    factor = rng.choice([0.0, 2.0], size=len(load))
    return np.where(rng.random(len(load)) < FAULTS, factor * load, load)


def bump(x: np.ndarray, centre: np.ndarray | float, width: float) -> np.ndarray:
    return np.exp(-np.square((x - centre) / width) / 2)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


if __name__ == "__main__":
    data = Path(sys.argv[1])
    prepare(data)
    for file in sorted(data.rglob("*.npy")):
        content = np.load(file)
        print(f"{file}: {len(content):,} rows, sha256 {hashlib.sha256(content).hexdigest()[:16]}")
