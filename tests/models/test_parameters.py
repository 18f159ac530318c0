"""Parameters survive a file, and a file that holds others is refused with what differs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import linen

from pride_jax.errors import DataError
from pride_jax.models.linen import from_linen
from pride_jax.models.networks import cnn, mlp
from pride_jax.models.parameters import read_parameters, write_parameters

MODEL = mlp((2,), 3, (4,))
PARAMS = MODEL.init(jax.random.key(0))


@pytest.mark.parametrize(
    "model", [MODEL, cnn((4, 4, 1), 2), from_linen(linen.Sequential([linen.Dense(3)]), (2,))]
)
def test_what_is_written_is_read(tmp_path, model):
    params = model.init(jax.random.key(0))
    write_parameters(tmp_path / "model.safetensors", params)
    read = read_parameters(tmp_path / "model.safetensors", model)
    assert jax.tree.structure(read) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_names_are_places_in_the_tree_whatever_the_memory_looks_like(tmp_path):
    file = tmp_path / "model.safetensors"
    params = {"layers": {0: {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T}}}
    write_parameters(file, params)
    written = safetensors.numpy.load_file(file)
    assert list(written) == ["layers.0.kernel"]
    np.testing.assert_array_equal(written["layers.0.kernel"], params["layers"][0]["kernel"])


def by_name():
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(PARAMS)
    }


def test_a_foreign_file_may_join_names_by_slashes(tmp_path):
    file = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file(by_name(), file)
    jax.tree.map(np.testing.assert_array_equal, read_parameters(file, MODEL), PARAMS)


def test_all_that_differs_is_listed(tmp_path):
    file = tmp_path / "foreign.safetensors"
    foreign = by_name()
    foreign["head"] = foreign.pop("layers/0/bias")
    foreign["layers/1/bias"] = foreign["layers/1/bias"].astype(np.float16)
    foreign["layers/1/kernel"] = np.ascontiguousarray(foreign["layers/1/kernel"].T)
    safetensors.numpy.save_file(foreign, file)
    with pytest.raises(DataError) as refused:
        read_parameters(file, MODEL)
    for part in (
        "layers.0.bias is missing",
        "head is unknown",
        "layers.1.bias is float16[3], expected float32[3]",
        "layers.1.kernel is float32[3, 4], expected float32[4, 3]",
    ):
        assert part in str(refused.value)
    assert "layers.0.kernel" not in str(refused.value)


def test_two_tensors_of_one_name_are_refused(tmp_path):
    file = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file(by_name() | {"layers.0.bias": np.zeros(4, np.float32)}, file)
    with pytest.raises(DataError, match=r"layers\.0\.bias is there twice"):
        read_parameters(file, MODEL)


def test_a_file_that_is_absent_or_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as a safetensors file"):
        read_parameters(tmp_path / "absent.safetensors", MODEL)
    (tmp_path / "text").write_text("parameters")
    with pytest.raises(DataError, match="cannot be read as a safetensors file"):
        read_parameters(tmp_path / "text", MODEL)


def test_values_that_are_not_finite_are_refused(tmp_path):
    params = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), PARAMS)
    write_parameters(tmp_path / "nan.safetensors", params)
    with pytest.raises(DataError, match=r"layers\.0\.bias holds values that are not finite"):
        read_parameters(tmp_path / "nan.safetensors", MODEL)
