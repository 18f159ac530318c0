"""Pictures of what adding updates unseen costs, from the encryption benchmark's JSON."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pride_jax.files import read_json

_HIDDEN = {
    "plain": "nothing",
    "naive": "updates, from all but the key holder",
    "paillier": "updates, until two servers collude",
    "two_servers": "updates, until two servers collude",
    "bfv": "updates, until two servers collude",
    "threshold_paillier": "updates, until t of n holders collude",
    "masking": "updates, until most clients collude",
}
_MARKERS = {
    "nothing": "o",
    "updates, from all but the key holder": "s",
    "updates, until two servers collude": "P",
    "updates, until t of n holders collude": "^",
    "updates, until most clients collude": "D",
}


def client_costs(results: Path) -> Figure:
    """A client's seconds against its bytes in a round, by what is hidden; a panel a model size."""
    report = read_json(results / "encryption" / "benchmark.json")
    rounds = [each for each in report["client_rounds"] if each["workers"] == 1]
    sizes = sorted({each["params"] for each in rounds})
    figure = Figure(figsize=(3.6 * len(sizes), 4.1), layout="constrained")
    panels = figure.subplots(1, len(sizes), squeeze=False)[0]
    names = [name for name in _HIDDEN if any(each["protocol"] == name for each in rounds)]
    for axes, size in zip(panels, sizes, strict=True):
        for each in rounds:
            if each["params"] == size:
                axes.plot(
                    each["bytes"],
                    each["encrypt_seconds"],
                    _MARKERS[_HIDDEN[each["protocol"]]],
                    color=f"C{names.index(each['protocol'])}",
                    markersize=8,
                    # Hollow where times were extrapolated from single values.
                    fillstyle="none" if each["extrapolated"] else "full",
                )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="bytes a client sends in a round",
            title=f"{size:,} parameters",
        )
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("seconds of one core, a client and round")
    protocols = [
        Line2D([], [], color=f"C{number}", marker=_MARKERS[_HIDDEN[name]], linestyle="", label=name)
        for number, name in enumerate(names)
    ]
    hidden = [
        Line2D([], [], color="0.4", marker=marker, linestyle="", label=f"hides {what}")
        for what, marker in _MARKERS.items()
    ]
    figure.legend(
        handles=protocols + hidden, loc="outside lower center", ncols=4, fontsize=8, frameon=False
    )
    return figure


def stage_costs(results: Path) -> Figure:
    """Microseconds a parameter, on one core, of each stage: clients, aggregator, holders."""
    report = read_json(results / "encryption" / "benchmark.json")
    rows = [
        row
        for row in report["rows"]
        if row["value_bits"] == 16 and row["workers"] == 1 and row["key_bits"] in (None, 3072)
    ]
    stages = {"encrypt_us": "encrypt", "online_us": "online part", "decrypt_us": "open"}
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(stages)
    for number, (stage, label) in enumerate(stages.items()):
        places = [place + (number - 1) * width for place in range(len(rows))]
        axes.bar(places, [row[stage] for row in rows], width, label=label)
    labels = [row["protocol"] + (f"\n{row['mode']}" if row["mode"] else "") for row in rows]
    axes.set_xticks(range(len(rows)), labels, fontsize=8)
    axes.set(yscale="log", ylabel="µs a parameter, one core")
    axes.legend(frameon=False)
    return figure
