"""ChaCha20 against RFC 8439 and another implementation, and keys of nothing less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from jax.sharding import PartitionSpec

from pride_jax.engine.cohort import clients_mesh
from pride_jax.errors import ConfigError
from pride_jax.privacy.randomness import (
    CHACHA20,
    SECRET_BYTES,
    blocks,
    check_secret,
    secret_key,
    study_key,
)

SECRET = bytes(range(32))
BITS, SPLIT, FOLD = 1, 2, 3


def stream(domain, data, count, secret=SECRET):
    """Blocks 0, 1, … of ``cryptography``'s ChaCha20 under a nonce, a row a block."""
    nonce = np.array([0, domain, data, 0], "<u4").tobytes()
    cipher = Cipher(algorithms.ChaCha20(secret, nonce), mode=None).encryptor()
    return np.frombuffer(cipher.update(bytes(64 * count)), "<u4").reshape(count, 16)


def data_of(key):
    return np.asarray(jax.random.key_data(key))


def test_the_block_function_is_that_of_the_rfc():
    # RFC 8439, section 2.3.2.
    key = np.frombuffer(SECRET, "<u4")
    nonce = np.frombuffer(bytes.fromhex("000000090000004a00000000"), "<u4").tolist()
    block = blocks(jnp.asarray(key), jnp.array([1], jnp.uint32), nonce)
    expected = (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )
    assert np.asarray(block)[:, 0].astype("<u4").tobytes().hex() == expected


def test_the_keystream_is_that_of_the_rfc():
    # RFC 8439, section 2.4.2: the text's exclusive or with blocks 1 and 2.
    nonce = np.frombuffer(bytes.fromhex("000000000000004a00000000"), "<u4").tolist()
    key = jnp.asarray(np.frombuffer(SECRET, "<u4"))
    made = np.asarray(blocks(key, jnp.array([1, 2], jnp.uint32), nonce)).T.astype("<u4").tobytes()
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip "
    encrypted = bytes(a ^ b for a, b in zip(text, made, strict=False))
    assert encrypted.hex().startswith(
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae"
    )


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_random_words_are_the_keystream_word_by_word(size):
    count = -(-size // 16)
    expected = stream(BITS, 0, count).T.reshape(-1)[:size]
    np.testing.assert_array_equal(jax.random.bits(secret_key(SECRET), (size,)), expected)


def test_children_are_blocks_of_their_own_domains():
    key = secret_key(SECRET)
    np.testing.assert_array_equal(data_of(jax.random.split(key, 5)), stream(SPLIT, 0, 5)[:, :8])
    for data in (0, 1, 2**32 - 1):
        folded = jax.random.fold_in(key, np.uint32(data))
        np.testing.assert_array_equal(data_of(folded), stream(FOLD, data, 1)[0, :8])


def test_no_block_serves_two_ends():
    """Words, children and folded keys of one key, and of its children, are all different."""
    key = secret_key(SECRET)
    made = []
    for each in (key, *jax.random.split(key, 3), *(jax.random.fold_in(key, n) for n in range(3))):
        made += [jax.random.bits(each, (160,)), data_of(jax.random.split(each, 7)).ravel()]
        made += [data_of(jax.random.fold_in(each, number)) for number in range(7)]
    words = np.concatenate([np.ravel(part) for part in made])
    # The children of the key itself stand in the list once, and so do their own.
    assert len(np.unique(words)) == len(words)


def test_the_same_words_compiled_batched_and_sharded():
    keys = jax.random.split(study_key(3), 4)
    alone = np.stack([jax.random.bits(key, (33,)) for key in keys])

    def words(key):
        return jax.random.bits(key, (33,))

    np.testing.assert_array_equal(jax.jit(jax.vmap(words))(keys), alone)
    np.testing.assert_array_equal(jax.lax.map(words, keys), alone)
    mesh, everywhere = clients_mesh(jax.devices()[:1]), PartitionSpec()
    sharded = jax.shard_map(words, mesh=mesh, in_specs=(everywhere,), out_specs=everywhere)
    np.testing.assert_array_equal(jax.jit(sharded)(keys[0]), alone[0])
    folded = jax.vmap(lambda number: jax.random.fold_in(keys[0], number))(jnp.arange(3))
    np.testing.assert_array_equal(data_of(folded[2]), data_of(jax.random.fold_in(keys[0], 2)))


def test_narrow_words_are_uniform_and_wide_ones_refused():
    small = np.asarray(jax.random.bits(study_key(0), (40_000,), jnp.uint8))
    counts = np.bincount(small, minlength=256)
    assert np.sum((counts - 156.25) ** 2 / 156.25) < 255 + 5 * np.sqrt(2 * 255)
    with jax.enable_x64(True), pytest.raises(ConfigError, match="64 bits: expected 8, 16 or 32"):
        jax.random.bits(study_key(0), (3,), jnp.uint64)


def test_secret_keys_come_from_the_system_unless_given():
    assert (data_of(secret_key()) != data_of(secret_key())).any()
    assert data_of(secret_key(SECRET)).astype("<u4").tobytes() == SECRET
    assert SECRET_BYTES == 32
    with pytest.raises(ConfigError, match="of 8 bytes: expected 32"):
        secret_key(bytes(8))


def test_a_study_is_repeated_by_its_seed():
    np.testing.assert_array_equal(data_of(study_key(1)), data_of(study_key(1)))
    traced = jax.jit(lambda key: jax.random.key_data(study_key(key)))
    one, other = traced(jax.random.key(1)), traced(jax.random.key(2))
    for key in (data_of(study_key(2)), np.asarray(one), np.asarray(other)):
        assert (key != data_of(study_key(1))).all()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_other_generators_guard_no_secret(impl):
    check_secret(secret_key())
    with pytest.raises(ConfigError, match=f"A key of {impl}.*expected 256 bits.*secret_key"):
        check_secret(jax.random.key(0, impl=impl))


def test_a_number_makes_no_secret():
    with pytest.raises(ConfigError, match=r"expected secret_key\(\), or study_key"):
        jax.random.key(0, impl=CHACHA20)
