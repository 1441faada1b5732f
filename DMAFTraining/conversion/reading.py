"""Read a PyTorch checkpoint as plain weights; Python objects in it are refused, never made."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STATE = "state_dict"
_PARALLEL = "module."
_OBJECT = re.compile(r"GLOBAL ([\w.]+)")


class ConversionError(ValueError):
    """A checkpoint that cannot be converted; the message says what is wrong and what to do."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Weights by name, without the prefix that ``DataParallel`` puts before all names.

    Args:
        path: what ``torch.save`` made of a state dict, or of a dictionary that holds one as
            ``state_dict`` beside epoch and optimizer, as the published training scripts write it.

    Raises:
        ConversionError: no such file, damaged, with Python objects, or without weights.
    """
    stored = _load(path)
    named = stored.get(_STATE, stored) if isinstance(stored, Mapping) else None
    if not isinstance(named, Mapping) or not named or not all(map(_is_weight, named.items())):
        raise ConversionError(
            f"{path} holds no weights by name. Give a state dict, or a dictionary with one under {_STATE!r}."
        )
    if all(name.startswith(_PARALLEL) for name in named):
        return {name.removeprefix(_PARALLEL): weight for name, weight in named.items()}
    return dict(named)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ConversionError(f"There is no checkpoint at {path}. Check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = _OBJECT.search(str(error))
        what = f"holds a Python object ({found[1]})" if found else "is no PyTorch checkpoint, or holds Python objects"
        raise ConversionError(
            f"{path} {what}, which could run code and is never loaded. "
            f"Ask its authors for the state dict alone, or save that where you trust the file."
        ) from error
    except Exception as error:  # damaged bytes make the reader fail in almost any way
        raise ConversionError(f"{path} is damaged or no PyTorch checkpoint. Get the file again.") from error


def _is_weight(item: tuple[object, object]) -> bool:
    name, weight = item
    return (
        isinstance(name, str)
        and isinstance(weight, Tensor)
        and weight.is_floating_point()
        and weight.layout == torch.strided
    )
