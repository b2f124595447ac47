"""What ships with codegraft, by name. Light: `--help` lists it, so no manifest is read."""

from pathlib import Path

FOLDER = Path(__file__).parent
LANDSCAPES = FOLDER / "landscapes"


def shipped_targets() -> tuple[str, ...]:
    """Name the targets that ship."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/codegraft.toml")))


def shipped_landscapes() -> tuple[str, ...]:
    """Name the targets whose measured landscapes ship."""
    return tuple(sorted(path.stem for path in LANDSCAPES.glob("*.parquet")))


def landscapes_but(target: str) -> tuple[str, ...]:
    """Name the landscapes that ship of all other targets: what a policy may know that has never seen this one."""
    return tuple(name for name in shipped_landscapes() if name != target)
