"""Who learns what, of every protocol: its own description, and the test that shows each cell."""

from pathlib import Path
from typing import get_args, get_type_hints

from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.secure_sum import SecureSum
from pride_jax.aggregation.sights import AGGREGATOR, EVERYTHING, KEY_HOLDER, OF_SCORES, Sight
from pride_jax.reporting.markdown import table
from pride_jax.settings.experiment import Aggregation
from pride_jax.settings.protocols import build_secure_sum

PROTOCOLS = tuple(
    name for name in get_args(get_type_hints(Aggregation)["protocol"]) if name != "none"
)
_FROM_PAGES = "../../"
"""From the folders whose pages show these tables to the repository's root."""


def who_learns_what(results: Path) -> str:
    """A line a protocol and coalition; what it learns by following the protocol, and by cheating.

    Made of the code, whatever is in ``results``.
    """
    del results
    lines = []
    for name, protocol in _described().items():
        sights = protocol.sights
        for who in dict.fromkeys(sight.who for sight in sights):
            cells = [_cell(sights, who, adversary) for adversary in ("curious", "active")]
            lines.append([f"`{name}`", who, *cells])
    return table(["protocol", "who", "curious", "active"], lines)


def who_learns_what_in_short(results: Path) -> str:
    """A line a protocol: what a role learns by itself, and who must not come together.

    Of who follows the protocol; key holders may cheat, too. Made of the code, as above.
    """
    del results
    lines = []
    for name, protocol in _described().items():
        curious = {each.who: each for each in protocol.sights if each.adversary == "curious"}
        holders = [
            each.learns
            for each in protocol.sights
            if each.adversary == "active" and each.who in (KEY_HOLDER, "any key holders")
        ]
        together = [who for who, each in curious.items() if each.learns == EVERYTHING]
        lines.append(
            [
                f"`{name}`",
                curious[AGGREGATOR].learns,
                *(holders or ["no key holder"]),
                "nothing is hidden" if AGGREGATOR in together else "; ".join(together),
            ]
        )
    head = ["protocol", "the aggregator learns", "key holders learn", "who must not collude"]
    return table(head, lines)


def who_learns_what_of_scores(results: Path) -> str:
    """Likewise of scores of what parties hold out, where a protocol hides what it adds."""
    del results
    lines = []
    for who in dict.fromkeys(sight.who for sight in OF_SCORES):
        cells = [_cell(OF_SCORES, who, adversary) for adversary in ("curious", "active")]
        lines.append([who.partition(",")[0], *cells])
    return table(["who", "curious", "active"], lines)


def _described() -> dict[str, SecureSum]:
    described = {name: build_secure_sum(Aggregation(name)) for name in PROTOCOLS}
    return described | {"lattice(paillier)": lattice(described["paillier"])}


def _cell(sights: tuple[Sight, ...], who: str, adversary: str) -> str:
    found = [sight for sight in sights if (sight.who, sight.adversary) == (who, adversary)]
    return "; ".join(f"{sight.learns} ({_linked(sight.shown_by)})" for sight in found) or "–"


def _linked(shown_by: str) -> str:
    path, _, test = shown_by.partition("::")
    return f"[`{test.rpartition('::')[2]}`]({_FROM_PAGES}{path})"
