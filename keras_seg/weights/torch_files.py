"""Reads the tensors of PyTorch's files without PyTorch, and runs no code from the file.

A `.pth` file is a pickle that refers to blocks of numbers. Since PyTorch 1.6 both are entries of a
zip archive; earlier versions wrote the blocks one after the other behind the pickle. The reader
knows the few names that a state dict needs, and refuses every other.
"""

from __future__ import annotations

import collections
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
"""First number of the files of PyTorch before 1.6."""
PROTOCOL = 1001
BFLOAT16 = "BFloat16Storage"
DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    BFLOAT16: "u2",  # the upper half of a float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""PyTorch's names of blocks → type of their numbers."""


@dataclass(frozen=True)
class _Storage:
    """A block of numbers.

    Attributes:
        kind: one of `DTYPES`.
        key: its name in the file.
    """

    kind: str
    key: str


@dataclass(frozen=True)
class _Tensor:
    """A tensor whose numbers are not read yet.

    Attributes:
        storage: the block with its numbers.
        offset: place of the first one in the block.
        size: shape.
        stride: distance of neighbours along each axis, in numbers.
    """

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


ALLOWED: Mapping[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
"""All that a file may call."""


class _Unpickler(pickle.Unpickler):
    """Reads a pickle of plain values and tensors."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return name
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} is not a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(kind), key, _, _) if kind in DTYPES:
                return _Storage(kind, str(key))
            case ("storage", str(kind), key, _, _, None) if kind in DTYPES:
                return _Storage(kind, str(key))
        raise pickle.UnpicklingError(f"{pid!r:.80} is not a block of numbers")


def read_torch(path: Path) -> Any:
    """The content of a file that `torch.save` has written, with NumPy arrays for tensors.

    Raises:
        pickle.UnpicklingError: the file holds more than plain values and tensors.
        ValueError: the file is damaged, or not one of PyTorch.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _from_archive(archive)
    with path.open("rb") as file:
        return _from_sequence(file)


def _from_archive(archive: zipfile.ZipFile) -> Any:
    """Reads the zip archive of PyTorch 1.6 and later."""
    entries = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(entries) != 1:
        raise ValueError("the archive is not one that torch.save has written")
    folder = entries[0].removesuffix("data.pkl")
    order = "<"
    if f"{folder}byteorder" in archive.namelist():
        order = ">" if archive.read(f"{folder}byteorder") == b"big" else "<"
    with archive.open(entries[0]) as file:
        content = _Unpickler(file).load()

    def numbers(storage: _Storage) -> np.ndarray:
        return np.frombuffer(archive.read(f"{folder}data/{storage.key}"), _dtype(storage, order))

    return _with_arrays(content, numbers)


def _from_sequence(file: BinaryIO) -> Any:
    """Reads the sequence of pickles and blocks of PyTorch before 1.6."""
    if _Unpickler(file).load() != MAGIC or _Unpickler(file).load() != PROTOCOL:
        raise ValueError("the file is not one that torch.save has written")
    system = _Unpickler(file).load()
    order = "<" if system.get("little_endian", True) else ">"
    content = _Unpickler(file).load()
    kinds: dict[str, _Storage] = {}
    _with_arrays(content, lambda storage: kinds.setdefault(storage.key, storage), view=False)
    blocks = {}
    for key in map(str, _Unpickler(file).load()):
        (count,) = np.frombuffer(file.read(8), f"{order}i8")
        dtype = _dtype(kinds[key], order)
        blocks[key] = np.frombuffer(file.read(int(count) * dtype.itemsize), dtype)
    return _with_arrays(content, lambda storage: blocks[storage.key])


def _dtype(storage: _Storage, order: str) -> np.dtype:
    return np.dtype(f"{order}{DTYPES[storage.kind]}")


def _with_arrays(content: Any, numbers: Callable, *, view: bool = True) -> Any:
    """The content with each tensor replaced by an array of its numbers.

    Args:
        numbers: block → its numbers.
        view: False to call `numbers` alone, for the names of all blocks.
    """
    if isinstance(content, _Tensor):
        block = numbers(content.storage)
        return _array(content, block) if view else block
    if isinstance(content, dict):
        return {key: _with_arrays(value, numbers, view=view) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_with_arrays(value, numbers, view=view) for value in content]
    return content


def _array(tensor: _Tensor, block: np.ndarray) -> np.ndarray:
    """The numbers of a tensor, in the order of the machine; bfloat16 becomes float32."""
    steps = sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    negative = min((tensor.offset, *tensor.size, *tensor.stride)) < 0
    if negative or (0 not in tensor.size and tensor.offset + steps >= len(block)):
        raise ValueError(f"a tensor {tensor.size} does not fit its block of {len(block)} numbers")
    block = block[tensor.offset :].astype(block.dtype.newbyteorder("="))
    if tensor.storage.kind == BFLOAT16:
        block = (block.astype("u4") << 16).view("f4")
    strides = [step * block.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(block, tensor.size, strides).copy()
