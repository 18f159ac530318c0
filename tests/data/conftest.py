"""Loading tests see neither the user's sets and caches nor the network."""

from pathlib import Path

import pytest


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    from pride_jax.data import tfds_builder

    monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    if not request.node.get_closest_marker("data"):
        monkeypatch.delenv("PRIDE_DATA_DIR", raising=False)
    for name in tfds_builder.MIRRORS:  # nobody listens at the discard port
        monkeypatch.setitem(tfds_builder.MIRRORS, name, "http://127.0.0.1:9/")
