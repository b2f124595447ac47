"""What is known of libraries: which members their objects have, what their functions give, and what they do with their arguments.

Names are import paths, checked against the imports of the file, never words in the source. What a function does with the values
that it is given, where that takes more than a word, is an idiom of `graph.idioms`.
"""

from __future__ import annotations

import builtins
from collections import OrderedDict, deque

from graph.members import MODULE_MEMBERS, TENSOR_MEMBERS

TENSOR = "torch.Tensor"
MADE_DEPTH = 2  # members of members of what libraries make are not followed further
PATH_PARTS = 6  # nor are longer import paths
LOADERS = frozenset({"torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader"})
CONTAINER_BASES = frozenset(
    f"torch.nn.{name}" for name in ("Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict")
)
CONTAINER_METHODS = frozenset(
    name for kind in (list, dict, set, tuple, deque, OrderedDict) for name in dir(kind) if not name.startswith("_")
)
STRING_METHODS = frozenset(n for n in dir(str) if not n.startswith("_"))
KEEPS_RECEIVER = frozenset(  # methods of torch.nn.Module that return the module
    {"to", "cuda", "cpu", "eval", "train", "half", "float", "double", "bfloat16", "requires_grad_", "type", "share_memory",
     "apply"}
)  # fmt: skip
_KEEPS_ARGUMENT = frozenset(
    {"compile", "setup", "setup_module", "setup_dataloaders", "setup_optimizers", "DistributedDataParallel", "DataParallel",
     "FullyShardedDataParallel", "fully_shard", "prepare", "prepare_model", "unwrap_model", "deepcopy", "copy", "script", "jit",
     "freeze", "wrap", "checkpoint_wrapper"}
)  # fmt: skip
NO_CONSTRUCTOR = ("abc.", "enum.", "typing.", "builtins.object")  # bases that make nothing when a class is called
OPERANDS = frozenset({TENSOR, "pathlib.Path", "numpy.ndarray"})  # an operator gives the same again
_CALLS_NOTHING = frozenset({"functools.wraps", "functools.update_wrapper", "functools.lru_cache", "functools.cache"})
_LAYER_MEMBERS = frozenset(
    {"weight", "bias", "in_features", "out_features", "num_embeddings", "embedding_dim", "flatten_parameters"}
)
GIVES_MODULES = {
    "children": False,
    "named_children": False,
    "modules": True,
    "named_modules": True,
}  # whether at any depth
GIVES_SEVERAL = frozenset({"setup", "setup_dataloaders", "setup_optimizers", "prepare"})  # a tuple, when given several
_GIVE_TENSORS = ("torch.nn.functional", TENSOR, "einops", "einx")  # modules and classes whose functions all do
_NOT_TENSORS = frozenset(
    {"device", "dtype", "compile", "load", "save", "no_grad", "inference_mode", "enable_grad", "set_grad_enabled", "Generator",
     "manual_seed", "autocast", "is_tensor", "is_grad_enabled", "Size", "finfo", "iinfo", "get_default_dtype", "jit"}
)  # fmt: skip


def keeps_arguments(path: str) -> bool:
    """Whether a library function returns the model that it was given, wrapped."""
    return path.rpartition(".")[2] in _KEEPS_ARGUMENT


def calls_nothing(path: str) -> bool:
    """Whether a library function is known not to call what it is given."""
    return path in _CALLS_NOTHING or path.startswith("builtins.")


def has_member(path: str, name: str) -> bool:
    """Whether an external may have a member of that name, as far as that is known."""
    if path == TENSOR:
        return name in TENSOR_MEMBERS
    if path == "torch.nn.Module":
        return name in MODULE_MEMBERS or name.startswith("__")
    if name.startswith("_") and not name.startswith("__"):
        return False
    owner, _, kind = path.rpartition(".")
    if owner == "torch.nn" and kind[:1].isupper():
        return name in MODULE_MEMBERS or name in _LAYER_MEMBERS
    if owner == "builtins":
        return hasattr(getattr(builtins, kind, None), name)
    return owner != "torch.nn.functional"


def made_by(path: str) -> str:
    """Return the import path that names what a call of an external gives; empty where nobody can tell.

    Tensors stay tensors: what torch.nn.functional, a torch.nn module or a method of a tensor returns is a torch.Tensor.
    """
    owner, _, last = path.rpartition(".")
    if owner in _GIVE_TENSORS or path.endswith(".GradScaler.scale"):
        return TENSOR
    if owner == "torch" and last.islower() and last not in _NOT_TENSORS:
        return TENSOR
    if owner in ("builtins.str", "builtins.list", "builtins.dict") or path in ("builtins.super", "builtins.getattr"):
        return ""
    if last == "__call__":
        return TENSOR if owner.startswith("torch.nn.") else ""
    return path
