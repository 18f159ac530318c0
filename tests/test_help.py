"""Every option of every script says in ``--help`` what it is."""

import re
import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
BENCHMARKS = [path.stem for path in (SCRIPTS / "bench").glob("*.py") if path.stem != "__init__"]
COMMANDS = [
    *((path.name,) for path in SCRIPTS.glob("*.py") if path.stem not in ("attack", "checkout")),
    *(("attack.py", attack) for attack in ("inversion", "membership")),
    *(("benchmark.py", name) for name in BENCHMARKS),
]
_DEFAULT = re.compile(r"\((default|required|repeatable)[^()]*\)")


def entries(shown: str) -> dict[str, str]:
    """Option or argument -> its text, of argparse's help and of tyro's.

    Sections of argparse have a head such as ``options:``, those of tyro one after a blank.
    """
    found: list[list[str]] = []
    entry = None
    for line in re.sub(r"^ +-+ *\n", "", shown, flags=re.MULTILINE).splitlines():
        told = line.strip()
        if re.match(r" ?\S", line):
            # Within tyro's sections, a text of the section stands before its options.
            entry = r"  --?\w" if line[0] == " " else r"  \S" if line.endswith(":") else None
            found.append(["", ""])
        elif entry and re.match(entry, line):
            found.append([*re.split(r" {2,}", told, maxsplit=1), ""][:2])
        elif found and found[-1][0].count("[") > found[-1][0].count("]"):
            found[-1][0] += told
        elif found:
            found[-1][1] += f" {told}"
    return {name: _DEFAULT.sub("", text).strip() for name, text in found if name}


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a script says to arguments that ask for help, its boxes one below another."""
    monkeypatch.setenv("COLUMNS", "100")

    def shown(script: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        assert ended.value.code == 0
        return capsys.readouterr().out

    return shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_of_a_script_has_a_text(shown, command):
    told = entries(shown(*command, "--help"))
    assert told.keys() & {"-h, --help", "-h [SECTION], --help [SECTION]"}
    assert not [name for name, text in told.items() if not text]


@pytest.mark.parametrize(
    "config",
    [
        (),
        ("--model.name", "resnet"),
        ("--model.name", "char_lstm"),
        ("--method.name", "feddyn", "--method.options.alpha", "1"),
    ],
    ids=" ".join,
)
def test_every_setting_has_a_text(shown, config):
    told = entries(shown("train.py", "--help", "all", *config))
    assert len(told) > 80
    assert not [name for name, text in told.items() if not text]


OWN = '''
from pride_jax.models.networks import mlp
from pride_jax.settings.experiment import Experiment, Model


def net(features, outputs, width: int = 3, depth: int = 1):
    """A network.

    Args:
      width: of each layer,
        the last excepted.

    Raises:
      ConfigError: never.
    """
    return mlp(features, outputs, (width,) * depth)


config = Experiment(model=Model("own_net.py:net"))
'''


def test_the_options_of_ones_own_have_the_texts_of_the_docstring(shown, tmp_path):
    (tmp_path / "own_net.py").write_text(OWN)
    told = entries(shown("train.py", "--config", str(tmp_path / "own_net.py"), "--help", "model"))
    assert told["--model.options.width INT"] == "of each layer, the last excepted."
    assert told["--model.options.depth INT"] == "Of own_net.py:net, which does not say more."
