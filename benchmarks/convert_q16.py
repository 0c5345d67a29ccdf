"""Turns Q16's learned prompts, which come as a pickle, into the safetensors file that `dualsafe.judges.Q16Judge` reads.

    python benchmarks/convert_q16.py prompts.p prompts.safetensors

Loading a pickle runs what it asks for, so the library loads none, and this script's unpickler resolves the few names
that arrays of numpy and torch are made of and refuses every other. A tensor's bytes, themselves a pickle, go through
torch's weights-only loader. Even so, convert only a file whose source you know.
"""

from __future__ import annotations

import argparse
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file


def _storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def _latin_1(text: str, encoding: str) -> bytes:
    return text.encode("latin-1")


_RECONSTRUCT, _FROM_BUFFER = (np.zeros(1).__reduce_ex__(protocol)[0] for protocol in (4, 5))
_NUMPY = ("numpy._core", "numpy.core")
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin_1,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): dict,
    **{(f"{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in _NUMPY},
    **{(f"{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in _NUMPY},
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, and lists of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is no part of an array")
        return ALLOWED[module, name]


def convert(source: Path, target: Path) -> None:
    """Writes the tensor "prompts", (2, width), of a pickled array.

    Raises:
        pickle.UnpicklingError: the pickle asks for anything but an array.
        ValueError: the array is not two rows of finite numbers.
    """
    with source.open("rb") as file:
        prompts = torch.as_tensor(ArrayUnpickler(file).load()).detach().to(torch.float32)
    if prompts.ndim != 2 or len(prompts) != 2 or not prompts.isfinite().all():
        raise ValueError(f"{source} must hold two rows of finite numbers; its shape is {tuple(prompts.shape)}")
    save_file({"prompts": prompts.contiguous()}, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="Q16's prompts.p")
    parser.add_argument("target", type=Path, help="the safetensors file to write")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
