"""What is saved comes back bit for bit, and nothing else does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.errors import RunError
from pride_jax.runs.checkpoints import checkpoints

TREE = {
    "round": jnp.asarray(7, jnp.int32),
    "params": [{"kernel": jnp.array([[0.1, -0.0], [np.inf, 1e-45]]), "bias": jnp.zeros(2)}],
    "opt_state": (None, jnp.array([True, False])),
}
LIKE = jax.tree.map(jnp.zeros_like, TREE)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def flat(tree):
    return [(leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def test_what_is_saved_comes_back_bit_for_bit(folder):
    checkpoints(folder).save(7, TREE)
    restored = checkpoints(folder).restore(7, LIKE)
    assert jax.tree.structure(restored) == jax.tree.structure(TREE)
    assert flat(restored) == flat(TREE)


def test_a_checkpoint_is_a_numpy_file_that_names_its_arrays(folder):
    checkpoints(folder).save(7, TREE)
    with np.load(folder / "7.npz") as saved:
        assert sorted(saved) == ["opt_state/1", "params/0/bias", "params/0/kernel", "round"]


def test_a_new_folder_has_no_latest_round(folder):
    assert checkpoints(folder).latest() is None


def test_the_two_latest_rounds_are_kept(folder):
    saved = checkpoints(folder)
    for round_ in (0, 5, 9, 10):
        saved.save(round_, TREE)
    assert saved.latest() == 10
    assert sorted(path.name for path in folder.iterdir()) == ["10.npz", "9.npz"]


def test_rounds_that_were_lost_and_are_trained_again_leave_nothing_later(folder):
    saved = checkpoints(folder)
    for round_ in (4, 6, 0, 2):
        saved.save(round_, TREE)
        assert saved.latest() == round_
    assert sorted(path.name for path in folder.iterdir()) == ["0.npz", "2.npz"]


def test_what_a_crash_left_is_no_checkpoint(folder):
    checkpoints(folder).save(5, TREE)
    (folder / "tmpa3x.tmp").write_bytes((folder / "5.npz").read_bytes()[:100])
    assert checkpoints(folder).latest() == 5


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_resumes(folder, length):
    saved = checkpoints(folder)
    saved.save(5, TREE)
    saved.save(7, TREE)
    (folder / "7.npz").write_bytes((folder / "7.npz").read_bytes()[:length])
    with pytest.raises(RunError, match=r"7\.npz is damaged.*remove it to resume from the one"):
        saved.restore(7, LIKE)
    (folder / "7.npz").unlink()
    assert flat(saved.restore(saved.latest(), LIKE)) == flat(TREE)


def test_a_flipped_bit_is_noticed(folder):
    checkpoints(folder).save(7, TREE)
    content = bytearray((folder / "7.npz").read_bytes())
    content[content.index(np.float32(0.1).tobytes())] ^= 1
    (folder / "7.npz").write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        checkpoints(folder).restore(7, LIKE)


@pytest.mark.parametrize(
    "other",
    [
        LIKE | {"round": jnp.zeros((), jnp.float32)},
        LIKE | {"params": [{"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(2)}]},
        LIKE | {"more": jnp.zeros(())},
    ],
)
def test_a_checkpoint_of_something_else_is_refused(folder, other):
    checkpoints(folder).save(7, TREE)
    with pytest.raises(RunError, match=r"7\.npz holds .*, expected .*another run"):
        checkpoints(folder).restore(7, other)


def test_a_missing_checkpoint_is_named(folder):
    with pytest.raises(RunError, match=r"Cannot read .*3\.npz"):
        checkpoints(folder).restore(3, LIKE)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"Cannot write to .*file/checkpoints: Not a directory"):
        checkpoints(tmp_path / "file" / "checkpoints").save(0, TREE)
