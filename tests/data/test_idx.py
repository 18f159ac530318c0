import gzip
import os
import tempfile
from pathlib import Path

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import CODES, idx_bytes, write_idx

from pride_jax.data.idx import read_idx
from pride_jax.errors import DataError

idx_arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(max_dims=4, max_side=5, min_side=0))
)


def read_bytes_as_idx(content: bytes) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some-idx3-ubyte"
        path.write_bytes(content)
        return read_idx(path)


@settings(deadline=None, max_examples=100)
@given(array=idx_arrays, zipped=st.booleans())
def test_what_was_written_is_read(array: np.ndarray, zipped: bool):
    content = gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array)
    read = read_bytes_as_idx(content)
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@settings(deadline=None, max_examples=100)
@given(array=idx_arrays, zipped=st.booleans(), data=st.data())
def test_a_file_cut_anywhere_is_refused(array: np.ndarray, zipped: bool, data: st.DataObject):
    content = gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array)
    kept = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match="get the file anew"):
        read_bytes_as_idx(content[:kept])


def test_a_file_longer_than_announced_is_refused():
    content = idx_bytes(np.zeros((2, 3), np.uint8)) + b"\0"
    with pytest.raises(DataError, match=r"19 bytes.*announces shape \(2, 3\), which takes 18"):
        read_bytes_as_idx(content)


@pytest.mark.parametrize("start", ["89 50 4e 47", "00 00 07 01", "01 00 08 01"])
def test_a_file_of_another_kind_is_refused(start: str):
    with pytest.raises(DataError, match=f"not an IDX file: it starts with {start}"):
        read_bytes_as_idx(bytes.fromhex(start) + bytes(20))


def test_a_flipped_byte_in_a_gzip_file_is_refused():
    content = bytearray(gzip.compress(idx_bytes(np.zeros((4, 4), np.uint8))))
    content[-6] ^= 1  # in the checksum
    with pytest.raises(DataError, match="damaged gzip file"):
        read_bytes_as_idx(bytes(content))


def test_a_missing_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent-idx1-ubyte: cannot be read.*No such file"):
        read_idx(tmp_path / "absent-idx1-ubyte")


def test_a_file_without_permission_is_refused():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "train-labels-idx1-ubyte"
        write_idx(path, np.zeros(3, np.uint8))
        path.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:  # root reads everything
                os.seteuid(65534)
            with pytest.raises(DataError, match=r"cannot be read.*Permission denied"):
                read_idx(path)
        finally:
            os.seteuid(user)
