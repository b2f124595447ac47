import math
import random
import time
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.archive import Archive
from graph.features import displacement, distance, features

BASE = "import math\n\ndef f(x, n):\n    for i in range(n):\n        x = x * math.cos(i) + 0.5\n    return x\n\nprint(f(1.0, 8))\n"
LINES = (
    "print(f(2.0, 4))",
    "print(f(2.0, 4) + 1)",
    "for a in range(3):\n    print(a)",
    "while f(1.0, 2): pass",
    "x = [a * a for a in 'ab']",
    "import json\njson.dumps({})",
    "y = 16",
    "y = 64",
    "assert f(1.0, 1) > 0 or True",
    "def g(x): return x - 1",
    "# nothing",
    "print(max(1, 2))",
)


def program(lines: list[str], text: str = BASE) -> dict[str, bytes]:
    return {"a.py": (text + "\n".join(lines) + "\n").encode()}


class BruteForce:
    """The archive as one would write it down: every distance, sorted."""

    def __init__(self, capacity: int, neighbours: int = 10) -> None:
        self.capacity, self.neighbours = capacity, neighbours
        self.known = []
        self.isolations = []  # parallel to the known ones; nan for the base

    def nearest(self, files):
        found = features(files)
        return sorted(distance(found, other) for other in self.known)[: self.neighbours]

    def isolation(self, files):
        distances = self.nearest(files)
        return math.fsum(distances) / len(distances) if distances and distances[0] else 0.0

    def add(self, files):
        isolation = self.isolation(files) if self.known else math.inf
        self.known.append(features(files))
        self.isolations.append(isolation)
        if len(self.known) > self.capacity and len(self.known) > 1:
            least = min(self.isolations)
            gone = max(i for i, each in enumerate(self.isolations) if each == least)
            del self.known[gone], self.isolations[gone]

    def novelty(self, files):
        isolation = self.isolation(files)
        known = sorted(self.isolations[1:])
        return (1 + bisect_left(known, isolation)) / (1 + len(known)) if isolation else 0.0


PROGRAMS = st.lists(st.sampled_from(LINES), max_size=5).map(program)


@given(PROGRAMS, st.lists(PROGRAMS, max_size=25), PROGRAMS, st.integers(1, 20))
def test_the_archive_answers_as_brute_force_does(first, programs, asked, capacity):
    archive, plain = Archive(capacity=capacity), BruteForce(capacity)
    for files in (first, *programs):
        archive.add(files)
        plain.add(files)
        assert archive.novelty(asked) == pytest.approx(plain.novelty(asked), abs=1e-12)
    assert len(archive) == len(plain.known) <= max(1, capacity)
    distances = plain.nearest(asked)
    assert sum(archive.reasons(asked).values()) == pytest.approx(math.fsum(distances) / len(distances), abs=1e-9)


def filled(n: int, *, capacity: int = 10_000) -> tuple[Archive, random.Random]:
    """An archive of programs that differ from one base by a few of many steps."""
    rng = random.Random(0)
    archive = Archive(capacity=capacity)
    archive.add(program([]))
    for _ in range(n):
        archive.add(drawn(rng))
    return archive, rng


def drawn(rng: random.Random) -> dict[str, bytes]:
    return program(
        [f"print(math.f{rng.randrange(200)}(h{rng.randrange(200)}.k{rng.randrange(200)}))" for _ in range(3)]
    )


def test_what_is_forgotten_is_the_least_novel_and_never_the_base():
    archive, rng = filled(0, capacity=5)
    far = [program([f"for i{n} in z: a{n}.b{n}(i{n})"] * (n + 1)) for n in range(4)]
    for files in far:
        archive.add(files)
    for _ in range(20):
        archive.add(program(["# nothing new"]))
        assert len(archive) == 5
    for files in (program([]), *far):
        assert archive.novelty(files) == 0.0
    assert archive.novelty(drawn(rng)) > 0.0


def test_the_reasons_of_a_known_program_are_those_of_its_neighbours():
    archive, _ = filled(3)
    loops = program(["for i in range(9):\n    print(i)"] * 4)
    assert next(iter(archive.reasons(loops))) in {"control", "call", "edge"}
    reasons = [*archive.reasons(loops).values()]
    assert reasons == sorted(reasons, reverse=True)


def test_an_index_asks_less_than_all():
    archive, rng = filled(600)
    asked = [drawn(rng) for _ in range(20)]
    for files in asked:
        features(files)
    base = features(program([]))
    known = [displacement(features(drawn(random.Random(n))), base) for n in range(600)]
    start = time.process_time()
    for files in asked:
        archive.novelty(files)
    indexed = time.process_time() - start
    place = displacement(features(asked[0]), base)
    start = time.process_time()
    for _ in asked:
        sorted(
            math.fsum(abs(place.get(f, 0.0) - each.get(f, 0.0)) for f in place.keys() | each.keys()) for each in known
        )
    brute = time.process_time() - start
    assert indexed < brute
