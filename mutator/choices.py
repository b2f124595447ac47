"""Closed sets of strings: what else a string may be where the sources, or the signature of a library, say so.

A set is read from `choices=`, from a `Literal[...]` annotation, from the comparisons of the same name with strings, from a known signature;
and for a string that is read letter by letter from the assert that all its letters come from an alphabet.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.code_graph import CodeGraph
from graph.model import Node, NodeKind
from graph.syntax import text_of
from mutator.numbers import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRING = re.compile(r"""["']([^"'\\{}]*)["']""")
_EQUALS = re.compile(r"""\b(\w+)(?:\.lower\(\)|\.upper\(\))?\s*==\s*["']([\w.-]+)["']""")
_AMONG = re.compile(r"""\b(\w+)\s+(?:not\s+)?in\s+[\[({]((?:\s*["'][\w.-]+["']\s*,?)+)[\])}]""")
_LETTERS = re.compile(
    r"""all\(\s*(\w+)\s+in\s+["'](\w+)["']\s+for\s+\1\s+in\s+(?:\w+\.)*(\w+)(?:\.upper\(\)|\.lower\(\))?\s*\)"""
)
_CHOICES = re.compile(r"""choices\s*=\s*[\[({]([^\])}]*)[\])}]""")
_LITERAL = re.compile(r"""\bLiteral\[([^\]]*)\]""")
_PATTERN = re.compile(r"[A-Za-z]{2,16}")
_OFF_LIMITS = re.compile(
    r"device|dtype|precision|quanti|compil|accelerator|strategy|resume|dist|backend|log|stage|(^|_)reduction$|recipe"
)
_UNSURE = re.compile(
    r"split|init_from|name$|path|url|repo|task|data|source|run|^kind$|^type$|model_type|role|mode$|format|lang|project|tokenizer|checkpoint|engine"
    r"|_to$|_dir$|file|state|token|message|version|command|status|model$|entity|fix$|platform|user|tag$|title|label$|^arch$"
)
_SIGNATURES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "approximate": {"torch.nn.GELU": ("none", "tanh"), "torch.nn.functional.gelu": ("none", "tanh")},
    "mode": {f"torch.nn.init.kaiming_{kind}_": ("fan_in", "fan_out") for kind in ("normal", "uniform")},
    "nonlinearity": {
        "torch.nn.RNN": ("tanh", "relu"),
        **{f"torch.nn.init.kaiming_{kind}_": ("relu", "leaky_relu", "linear", "tanh", "selu") for kind in ("normal", "uniform")},
    },
    "activation": {f"torch.nn.Transformer{part}Layer": ("relu", "gelu") for part in ("Encoder", "Decoder")},
    "anneal_strategy": {"torch.optim.lr_scheduler.OneCycleLR": ("cos", "linear")},
    "padding_mode": {f"torch.nn.Conv{n}d": ("zeros", "replicate", "circular") for n in (1, 2)},
}  # fmt: skip


def string_value(text: str) -> str:
    """Return what a plain string literal says; empty for any other."""
    found = _STRING.fullmatch(text)
    return found[1] if found is not None else ""


def other_strings(graph: CodeGraph, node: Node) -> tuple[str, ...]:
    """Return what else a string may be; nothing where no closed set is known that holds it."""
    value, name = string_value(graph.text(node)), name_of(graph, node).lower()
    if not value or not name or node.role not in ("value", "argument", "default") or _OFF_LIMITS.search(name):
        return ()
    if node.role == "argument" and node.label != "default":
        known = _signature(graph, node) or _pattern(graph, name, value)
    else:
        known = _stated(graph, node) or _pattern(graph, name, value) or _compared(graph, name)
    return tuple(other for other in known if other != value) if value in known else ()


def _signature(graph: CodeGraph, node: Node) -> tuple[str, ...]:
    """Read the set off the signature of a library, for a keyword argument."""
    call = graph.parent(node)
    runs = graph.callees(call) if call is not None and call.kind is NodeKind.CALL and node.label in _SIGNATURES else ()
    return _SIGNATURES[node.label].get(runs[0], ()) if len(runs) == 1 else ()


def _stated(graph: CodeGraph, node: Node) -> tuple[str, ...]:
    """Read the set that stands next to the string: the choices of an option, a `Literal[...]` annotation."""
    outer = graph.syntax(node).parent
    while outer is not None and outer.type not in ("assignment", "typed_default_parameter", "call", "block", "module"):
        outer = outer.parent
    if outer is None or outer.type in ("block", "module"):
        return ()
    annotation = outer.child_by_field_name("type")
    found = _LITERAL.search(text_of(annotation)) if annotation is not None else None
    found = _CHOICES.search(text_of(outer)) if outer.type == "call" else found
    return tuple(_STRING.findall(found[1])) if found is not None else ()


def _pattern(graph: CodeGraph, name: str, value: str) -> tuple[str, ...]:
    """Return the string and those one insertion, deletion or substitution away, over the alphabet that the sources demand."""
    if not _PATTERN.fullmatch(value):
        return ()
    alphabet = next((letters for data in graph.snapshot.files.values() if (letters := _alphabets(data).get(name))), "")
    if not alphabet or not set(value) <= set(alphabet):
        return ()
    cuts = [(value[:i], value[i:]) for i in range(len(value) + 1)]
    inserted = (left + letter + right for left, right in cuts for letter in alphabet)
    deleted = (left + right[1:] for left, right in cuts if right and len(value) > 1)
    replaced = (left + letter + right[1:] for left, right in cuts if right for letter in alphabet)
    return tuple(dict.fromkeys((value, *inserted, *deleted, *replaced)))


def _compared(graph: CodeGraph, name: str) -> tuple[str, ...]:
    """Return what the sources compare a name with."""
    if _UNSURE.search(name):
        return ()
    found = (_comparisons(data).get(name, ()) for data in graph.snapshot.files.values())
    return tuple(dict.fromkeys(value for values in found for value in values))


@lru_cache(maxsize=1024)
def _comparisons(data: bytes) -> Mapping[str, tuple[str, ...]]:
    text, found = data.decode(), dict[str, dict[str, None]]()
    for name, value in _EQUALS.findall(text):
        found.setdefault(name.lower(), {})[value] = None
    for name, values in _AMONG.findall(text):
        found.setdefault(name.lower(), {}).update(dict.fromkeys(_STRING.findall(values)))
    return {name: tuple(values) for name, values in found.items()}


@lru_cache(maxsize=1024)
def _alphabets(data: bytes) -> Mapping[str, str]:
    """Return the alphabets that a file demands, by the name of the string: itself, and what the field or parameter is called."""
    if b"all(" not in data:
        return {}
    text, found = data.decode(), dict[str, str]()
    for _, letters, name in _LETTERS.findall(text):
        found[name.lower()] = letters
        origin = re.search(rf"\b{name}\s*=\s*(?:\w+\.)*(\w+)(?:\.upper\(\)|\.lower\(\))?\s*$", text, re.MULTILINE)
        if origin is not None:
            found[origin[1].lower()] = letters
    return found
