"""IDX files for the tests, written independently of the reader."""

import gzip
import struct
from pathlib import Path

import numpy as np

CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path: Path, array: np.ndarray) -> None:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_idx_set(
    folder: Path, *, train: int = 30, test: int = 10, mark: str = "-idx", end: str = ".gz"
) -> dict[str, np.ndarray]:
    """Write the four files of a small MNIST-like set; returns the arrays by their file stems."""
    rng = np.random.default_rng(train)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (train, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": np.arange(train, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (test, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(test, dtype=np.uint8) % 10,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in arrays.items():
        write_idx(folder / (stem.replace("-idx", mark) + end), array)
    return arrays
