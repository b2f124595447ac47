"""What the command line of a script can set, and the commands that a repository's README gives for it.

Four ways are known: argparse; constants of the script that a configurator overrides (`exec(open("configurator.py").read())`), as nanoGPT
does; attributes of a configuration that are set by their path (`--trainer.max_iters=100`), as minGPT does; and none.
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.init.repository import Repository

_COMMAND = re.compile(r"^\s*(?:\$\s*)?(?:\w+=\S+\s+)*python3?\s+(?:-u\s+)?(\S+\.py)\b(.*)$")
_LONGEST_PATH = 3  # attributes of a configuration


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that the command line can set."""

    name: str  # as the script reads it: `max_iters`, `trainer.max_iters`
    flag: str  # as it is written: `--max-iters`
    default: object  # a plain value, or None where it is none or computed
    is_switch: bool  # takes no value
    path: str
    statement: ast.stmt  # that declares it

    def written(self, value: str) -> list[str]:
        """Write it down for a command line."""
        return [self.flag] if self.is_switch else [f"{self.flag}={value}"]


def options_of(repository: Repository, script: str, paths: Sequence[str]) -> dict[str, Option]:
    """Return what the command line of a script can set, by name."""
    found = [option for path in paths for option in _parsed(repository, path)]
    if not found and any(_is_exec(node) for node in repository.trees[script].body):
        found = list(_constants(script, repository.trees[script]))
    if not found and any(_reads_command_line(repository.trees[path]) for path in paths):
        found = list(_attributes(repository, script, paths))
    return {option.name: option for option in found}


def _parsed(repository: Repository, path: str) -> Iterator[Option]:
    for call in ast.walk(repository.trees[path]):
        if not (
            isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        ):
            continue
        flags = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        flag = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
        if not flag.startswith("-"):
            continue
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        action = _plain(given.get("action"))
        name = _plain(given.get("dest")) or flag.lstrip("-").replace("-", "_")
        is_switch = str(action).startswith("store_")
        default = (action == "store_false") if is_switch else _plain(given.get("default"))
        yield Option(str(name), flag, default, is_switch, path, repository.statement_of(call))


def _constants(path: str, tree: ast.Module) -> Iterator[Option]:
    """Walk the constants above the line that executes a configurator."""
    for statement in tree.body:
        if _is_exec(statement):
            return
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            yield Option(name, f"--{name}", _plain(statement.value), is_switch=False, path=path, statement=statement)


def _is_exec(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("exec(open(")


def _reads_command_line(tree: ast.Module) -> bool:
    return any(ast.unparse(node) == "sys.argv" for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def _attributes(repository: Repository, script: str, paths: Sequence[str]) -> Iterator[Option]:
    """Walk the attributes of the configuration that a function of the script builds."""
    for statement in repository.trees[script].body:
        if isinstance(statement, ast.FunctionDef) and "config" in statement.name:
            yield from _built_by(repository, script, paths, statement, "")


def _built_by(
    repository: Repository, path: str, paths: Sequence[str], function: ast.FunctionDef, prefix: str
) -> Iterator[Option]:
    """Walk what a function sets on the configuration that it returns, and what functions that it calls set on theirs."""
    returned = next((node.value for node in ast.walk(function) if isinstance(node, ast.Return)), None)
    if not isinstance(returned, ast.Name) or prefix.count(".") >= _LONGEST_PATH:
        return
    for statement in function.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not isinstance(statement, ast.Assign) or not isinstance(target, ast.Attribute):
            continue
        owner, _, name = ast.unparse(target).partition(".")
        if owner != returned.id:
            continue
        inner = _function(repository, paths, statement.value)
        if inner is not None:
            yield from _built_by(repository, inner[0], paths, inner[1], f"{prefix}{name}.")
        elif not isinstance(statement.value, ast.Call):
            full = prefix + name
            yield Option(full, f"--{full}", _plain(statement.value), is_switch=False, path=path, statement=statement)


def _function(repository: Repository, paths: Sequence[str], value: ast.expr) -> tuple[str, ast.FunctionDef] | None:
    """Return the function of ours that an expression calls: `f()`, `Class.f()`."""
    if not isinstance(value, ast.Call):
        return None
    owner, _, name = ast.unparse(value.func).rpartition(".")
    for path in paths:
        for node in ast.walk(repository.trees[path]):
            outer = repository.parents.get(node)
            inside = outer.name if isinstance(outer, ast.ClassDef) else ""
            if isinstance(node, ast.FunctionDef) and node.name == name and inside == owner:
                return path, node
    return None


def _plain(value: ast.expr | None) -> object:
    """Return the value of a literal; None for anything else."""
    try:
        return ast.literal_eval(value) if value is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


# --- commands


def commands_of(repository: Repository, script: str) -> list[list[str]]:
    """List the command lines that READMEs give for a script, without placeholders and each once."""
    name, folders = PurePosixPath(script), [repository.root, (repository.root / script).parent]
    files = dict.fromkeys(file for folder in folders for file in sorted(folder.iterdir()) if _is_readme(file.name))
    found: dict[tuple[str, ...], None] = {}
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
        for line in text.splitlines():
            command = _COMMAND.match(line)
            if command is None or PurePosixPath(command[1]).name != name.name:
                continue
            try:
                words = shlex.split(command[2], comments=True)
            except ValueError:  # prose with an apostrophe
                continue
            if not any(mark in word for word in words for mark in "<>[]`"):
                found[tuple(words)] = None
    return [list(words) for words in found]


def _is_readme(name: str) -> bool:
    return name.lower().startswith("readme")


def settings_in(words: Sequence[str], options: Mapping[str, Option]) -> dict[str, str]:
    """Return what a command line sets, by the names of the options that are known."""
    by_flag = {option.flag: option for option in options.values()}
    found = {}
    for at, word in enumerate(words):
        flag, equals, value = word.partition("=")
        option = by_flag.get(flag)
        if option is not None:
            following = words[at + 1] if at + 1 < len(words) else ""
            found[option.name] = value if equals else "" if option.is_switch else following
    return found


def without(words: Sequence[str], option: Option) -> list[str]:
    """Return a command line that leaves an option out."""
    found: list[str] = []
    skips = False
    for word in words:
        if skips:
            skips = False
        elif word.partition("=")[0] == option.flag:
            skips = "=" not in word and not option.is_switch
        else:
            found.append(word)
    return found
