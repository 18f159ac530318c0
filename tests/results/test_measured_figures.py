"""Figures of measurements stand in tables made of JSON; what stands in a sentence has a reason.

What is told in words, on any page, in a docstring, a comment or a study's own text, goes stale
unnoticed. Allowed are constants of the code and of others' programs, what others published, what
follows from a definition, and a measurement that is the reason for a choice and says how it was
made.
"""

import io
import re
import tokenize

import pytest
from figures import DECIMAL, FIGURE, flat
from pages import ALL, RESULTS, ROOT, blocks, name_of

from pride_jax.deploy.clock import AHEAD_SECONDS, BEHIND_SECONDS
from pride_jax.deploy.introduction import REJOIN_SECONDS
from pride_jax.deploy.prompt import HEARTBEAT_SECONDS
from pride_jax.files import read_json
from pride_jax.reporting import live
from pride_jax.settings.files import load_config
from results.redo import QUICK
from results.studies import with_tables

TEXT = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
"""Tokens; from Python 3.12 on, f-strings are some of their own."""
IN_CODE = {"1%"}
"""The rate of false alarms at which attacks are told, and tolerances of searches."""
TARGETS = {"97%": "McMahan et al.'s target of the 2NN", "99%": "of the CNN"}
QUICKLY = {10.0: "ten minutes"}[QUICK]
"""On any page of results: which steps are marked."""
REHEARSAL = read_json(RESULTS / "deploy" / "rehearsal.json")["setting"]
ALLOWED = {
    "pride_jax/deploy/README.md": {
        f"{REJOIN_SECONDS:g} seconds": "introduction.REJOIN_SECONDS",
        f"{2 * HEARTBEAT_SECONDS} seconds": "twice prompt.HEARTBEAT_SECONDS",
        f"{AHEAD_SECONDS:g} s": "clock.AHEAD_SECONDS",
        f"{BEHIND_SECONDS:g} s": "clock.BEHIND_SECONDS",
    },
    "pride_jax/reporting/README.md": {f"{live._PATIENCE:g} s": "live._PATIENCE"},
    "results/deploy/README.md": {
        "three seconds": "Flower's constant",
        f"{REHEARSAL['milliseconds']:g} ms": "a setting of the rehearsal",
    },
    "results/encryption/LATTICE.md": {"4.5": "a parameter: the deviation of errors"},
    "results/methods/README.md": {"after 120 rounds": "a setting"},
    "pride_jax/attacks/similarity.py": {"59 dB": "of a uniform error of 1/255, 10·log₁₀(12·255²)"},
    "pride_jax/data/augment.py": {"half of the time": "the probability of a mirror image"},
    "pride_jax/data/images.py": {"64 MiB": "a limit", "16 GiB": "a limit"},
    "pride_jax/data/scattering.py": {"4 times": "a width in a formula, L/4"},
    "pride_jax/deploy/clock.py": {"5 s": "Flower's constant", "305 s": "Flower's constant"},
    "pride_jax/deploy/prompt.py": {"three seconds": "Flower's constant"},
    "pride_jax/engine/memory.py": {"16 GiB": "a default"},
    "pride_jax/settings/experiment.py": {"half of the time": "the probability of a mirror image"},
    "pride_jax/sweeps/slurm.py": {"90 s": "submitit's constant"},
    "pride_jax/sweeps/together.py": {
        "half of a scan's seconds": "the reason for a choice, with how it was measured"
    },
    "results/mcmahan/README.md": TARGETS,
    "results/mcmahan/study.py": TARGETS,
    "results/study.py": {"98%": "what the original work planned"} | TARGETS,
}
"""By file: each figure in words, and why it may stand there."""

TABLES = re.compile(r"<!-- table .*?<!-- end -->", re.DOTALL)
NO_PROSE = re.compile(r"```.*?```|^    .*?$|^#.*?$|`[^`]*`|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
VERSIONS = re.compile(r"(?:Python|Flower|Apache|GPL|SHA|[Vv]ersion|Changelog\])[- ](?:v)?\d[\d.]*")
CODE = sorted(
    path
    for folder in ("pride_jax", "scripts", "results")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def of_page(text):
    """Figures in a page's sentences, code and tables written by hand; and decimals in sentences."""
    told = TABLES.sub("", text)
    prose = VERSIONS.sub("", NO_PROSE.sub("", told))
    return _found(FIGURE, told) | _found(DECIMAL, prose)


def of_code(text):
    """Figures in docstrings, comments and texts; decimals there are mostly settings."""
    words = [
        token.string.lstrip("#")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in TEXT
    ]
    return _found(FIGURE, "\n".join(words)) - IN_CODE


def _found(pattern, text):
    return {each.group() for each in pattern.finditer(flat(text))}


def allowed(path):
    marked = {QUICKLY} if path.is_relative_to(RESULTS) and path.suffix == ".md" else set()
    return ALLOWED.get(name_of(path), {}).keys() | marked


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_a_page_tells_measured_figures_in_tables_only(page):
    assert of_page(page.read_text()) - allowed(page) == set()


def test_no_docstring_or_comment_tells_a_measured_figure():
    told = {name_of(path): of_code(path.read_text()) - allowed(path) for path in CODE}
    assert {name: figures for name, figures in told.items() if figures} == {}


def test_every_exception_is_still_needed():
    for name in ALLOWED:
        path = ROOT / name
        told = (of_page if path.suffix == ".md" else of_code)(path.read_text())
        assert ALLOWED[name].keys() - told == set(), name


MEASURED = [
    *("A round takes 0.98 s.", "A round takes 12 s.", "It takes 3.9 times XLA's.", "13 µs a value"),
    *("The table has 27 MB.", "three minutes on two cores", "test accuracy 95.57%", "AUC 0.767"),
    *("a sixth of ``nnx.max_pool``'s time", "twice as fast as the others", "a third faster"),
    *(
        "ten times as fast",
        "97% after 39 rounds",
        "39 rounds to the target",
        "99 per cent\nof 40\nseconds",
        "8,990× less",
    ),
]


@pytest.mark.parametrize("sentence", MEASURED)
def test_a_measured_figure_in_a_sentence_is_found(sentence):
    """As somebody would write it into a page that has none now."""
    page = (ROOT / "README.md").read_text()
    assert of_page(page.replace("## Limits", f"{sentence}\n\n## Limits")) - of_page(page)


@pytest.mark.parametrize("sentence", [each for each in MEASURED if each != "AUC 0.767"])
def test_a_measured_figure_in_a_comment_is_found(sentence):
    lines = "\n".join(f"# {line}" for line in sentence.splitlines())
    assert of_code(f"{lines}\nx = 1\n")
    assert of_code(f'"""A module.\n\n{sentence}\n"""\n')


@pytest.mark.parametrize(
    "sentence",
    [
        *("300 clients of 600 digits", "32 bytes each", "5×5 convolutions", "2048-bit keys"),
        *("at most 450 lines", "twice as long as n", "Python 3.11 or newer", "ε = 8 for a client"),
    ],
)
def test_sizes_and_settings_are_no_measurements(sentence):
    assert of_page(sentence) == set()
    assert of_code(f"# {sentence}\n") == set()


def test_a_table_by_hand_is_no_way_around():
    assert of_page("| run | seconds |\n| --- | --- |\n| ours | 0.15 |\n")
    assert of_page("| run |\n| --- |\n| 3 minutes |\n")
    assert not of_page("<!-- table a -->\n| 0.15 s |\n<!-- end -->\n")


def test_another_digit_in_a_table_is_seen():
    text = (ROOT / "README.md").read_text()
    changed = re.sub(r"(?<=\| 0\.)\d", lambda digit: f"{(int(digit[0]) + 1) % 10}", text)
    assert changed != text
    assert with_tables(changed) == text


def test_settings_that_the_readme_names_are_those_of_the_code():
    told = flat((ROOT / "README.md").read_text())
    iris, own = (load_config(ROOT / "configs" / f"{name}.py") for name in ("iris_two_party", "own"))
    assert f"{iris.aggregation.key_bits}-bit {iris.aggregation.protocol.title()}" in told
    assert f"ε = {own.privacy.epsilon:g}" in told
    assert "method in thirty lines" in told
    assert len([line for line in blocks(ROOT / "README.md", "python")[0].splitlines() if line]) < 31
    (oldest,) = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert f"Python {oldest} or newer" in told
    assert f"Python {oldest} or newer" in flat((ROOT / "CONTRIBUTING.md").read_text())
