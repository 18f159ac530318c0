"""What a run ran on."""

import importlib.metadata
import json
import platform
import re

import jax

from pride_jax.runs.environment import environment


def test_versions_commit_and_device_are_told():
    told = environment()
    assert told["python"] == platform.python_version()
    assert told["device"] == jax.devices()[0].device_kind
    assert told["num_devices"] == len(jax.devices())
    assert told["versions"]["jax"] == jax.__version__
    assert told["versions"]["pride-jax"] == importlib.metadata.version("pride-jax")
    assert told["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", told["git_commit"])
    assert json.loads(json.dumps(told)) == told


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment()["git_commit"] is None
