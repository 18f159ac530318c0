"""Whether a folder's run can go on, and with which settings changed."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import explained, read_json
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import Change, changes, to_dict

CONFIG = "config.json"
SUMMARY = "summary.json"
START = "start"
"""The folder, in a run's, of what it started from: the other's parameters, settings and ledger."""
START_COPIED = "start.tmp"
"""The same while it is copied."""

HARMLESS = (
    *("engine.platform", "engine.chunk", "engine.devices", "engine.graphs", "engine.convolutions"),
    *("aggregation.workers", "data.dir", "evaluation.every"),
    *("watch.tensorboard", "watch.wandb"),
)
"""Settings that do not change what is learned: how a machine is used, where data lie, when rounds
are evaluated, who looks on. A chunk, a platform and the form of convolutions may change in which
order floats are added, and so their last bits."""

_CORRELATED = ("banded", "blt")


def may_change(config: Experiment) -> tuple[str, ...]:
    """The settings that a run of this process may be continued with, where they were others."""
    if config.evaluation.stop_at_target:
        # The run ends at an evaluation.
        return tuple(name for name in (*HARMLESS, "rounds") if name != "evaluation.every")
    return (*HARMLESS, "rounds")


def is_finished(
    config: Experiment, workdir: Path, resume: bool, allowed: Collection[str] = ()
) -> bool:
    """Whether the run in a folder is finished.

    Args:
      config: the settings now.
      workdir: the folder.
      resume: whether a run is to be continued there.
      allowed: settings that may have changed; of ``rounds``, there may only be more.

    Raises:
      RunError: the folder is another run's, or there is none to resume.
      ConfigError: the run cannot be made longer.
    """
    saved = workdir / CONFIG
    if resume and not workdir.is_dir():
        raise RunError(f"There is nothing to resume in {workdir}: start without --resume")
    if resume and saved.exists():
        return _is_finished(config, workdir, allowed)
    used = is_used(workdir)
    if resume and not (workdir / START).exists() and (workdir / START_COPIED).exists():
        raise RunError(
            f"{workdir} was to start from another run, and that was not copied as a whole: start "
            "again with --start-from, and without --resume"
        )
    if used and resume:
        raise RunError(
            f"There is no run to resume in {workdir}: it has files, but no config.json. Name the "
            "run's own folder, or start in another --workdir"
        )
    if used:
        raise RunError(
            f"{workdir} is not empty: continue its run with --resume, choose another --workdir, or "
            "replace what is there with --overwrite"
        )
    return False


def is_used(workdir: Path) -> bool:
    """Whether a folder has more than what a start left that died before its config was written.

    Raises:
      RunError: it cannot be read.
    """
    with explained("write to", workdir):
        return workdir.exists() and any(
            file.suffix != ".tmp" and file.name != START for file in workdir.iterdir()
        )


def _is_finished(config: Experiment, workdir: Path, allowed: Collection[str]) -> bool:
    changed = changes(read_json(workdir / CONFIG), to_dict(config))
    refused = [each for each in changed if each.name not in allowed or _is_shorter(each)]
    if refused:
        raise RunError(
            f"{workdir} was begun with other settings: {'; '.join(map(str, refused))} "
            "(saved -> now). Resume with the saved ones, or start in another --workdir"
        )
    longer = any(each.name == "rounds" for each in changed)
    if longer:
        _check_longer(config)
    return (workdir / SUMMARY).exists() and not longer


def same_run(saved: dict[str, Any], config: Experiment) -> bool:
    """Whether saved settings are these, but for what does not change results."""
    return all(each.name in HARMLESS for each in changes(saved, to_dict(config)))


def _is_shorter(change: Change) -> bool:
    return change.name == "rounds" and change.after < change.before


def _check_longer(config: Experiment) -> None:
    """Refuses more rounds where what the earlier ones were promised depends on their number.

    Raises:
      ConfigError: as above.
    """
    privacy = config.privacy
    if privacy.epsilon is not None:
        raise ConfigError(
            f"rounds={config.rounds}, more than the run was begun with, and "
            f"privacy.epsilon={privacy.epsilon}: the noise was made for the rounds that there were "
            "to be, and more of them cost more than that ε. Start anew with --start-from, or with "
            "all rounds"
        )
    if privacy.mechanism in _CORRELATED:
        raise ConfigError(
            f"rounds={config.rounds}, more than the run was begun with, and "
            f"privacy.mechanism={privacy.mechanism!r}: noise that is correlated over rounds is "
            "made for all of them at once. Start anew with --start-from, or with all rounds"
        )
