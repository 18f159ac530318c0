"""Numbers in the prose of results/ are those of the JSON beside it."""

import itertools
import math
import re
import statistics
from pathlib import Path

import pytest
from scipy.stats import binom

from pride_jax.files import read_json
from pride_jax.reporting import iris
from pride_jax.reporting.markdown import mean_and_deviation

RESULTS = Path(__file__).parents[2] / "results"


def numbers(name):
    return read_json(RESULTS / f"{name}.json")


def only(rows, **values):
    """The one row with these values."""
    (found,) = (row for row in rows if values.items() <= row.items())
    return found


def encryption():
    report = numbers("encryption/benchmark")
    setting, rows = report["setting"], report["rows"]
    base = {"key_bits": 3072, "mode": "default", "workers": 1}
    paillier = only(rows, protocol="paillier", value_bits=16, **base)
    narrow = only(rows, protocol="paillier", value_bits=8, **base)
    threshold = only(rows, protocol="threshold_paillier", value_bits=16, **base)
    bfv = only(rows, protocol="bfv", value_bits=16)
    faster = paillier["encrypt_us"] / bfv["encrypt_us"]
    opens = paillier["decrypt_us"] / bfv["decrypt_us"]
    yield (
        f"16-bit values in vectors of {setting['params'][0]:,}, {setting['key_bits'][0]}-bit keys, "
        f"messages with room for {setting['largest_cohort']} clients, {setting['clients']} of whom "
        "send"
    )
    key, value = setting["key_bits"][1], setting["value_bits"][1]
    yield f"`benchmark.json` has {key}-bit keys, {value}-bit values and two workers, too"
    yield f"At {value} bits Paillier sends {narrow['bytes']:.2f} bytes a parameter."
    yield (
        f"{faster:.1f} times as fast as Paillier to encrypt and {opens:.0f} times to open, "
        f"for {bfv['bytes'] / paillier['bytes']:.2f} times the bytes"
    )
    yield (
        "opening costs each holder "
        f"{threshold['decrypt_us'] / paillier['decrypt_us']:.1f} times as much"
    )


def benchmarks():
    quiet, loaded = numbers("benchmarks/engine_2nn"), numbers("benchmarks/engine_under_load")
    alone = {"name": "engine", "cores": 1, "chunk": 1}
    here, there = (
        only(each["rows"], model="2nn", **alone)["ratio_to_batch_loop"] for each in (quiet, loaded)
    )
    cnn = only(loaded["rows"], model="cnn", **alone)["ratio_to_plain_convolution"]
    setting = quiet["setting"]
    yield (
        f"{setting['cohort']} clients with {setting['examples']} examples each, one epoch in "
        f"batches of {setting['batch_size']}"
    )
    yield (
        "The goal was 1.4 times a jitted step a batch, for the 2NN on one core: "
        f"{here:.2f} misses it, {there:.2f} on a busier machine meets it."
    )
    yield f"they are {cnn:.0f} times as fast as `nnx.Conv`"
    scale = numbers("benchmarks/scale")
    usual = {"how": "engine", "devices": 1, "chunk": None, "precision": "float32"}
    usual |= {"cohort": 100, "clients": 10_000}
    two, cnn = (
        only(scale["rows"], model=model, **usual)["compile_seconds"] for model in ("2nn", "cnn")
    )
    yield (
        f"{scale['setting']['examples']} random images of MNIST's shape each, one epoch of SGD in "
        "batches of 10"
    )
    yield f"the 2NN's in {two:.1f} seconds, the CNN's in {cnn:.1f}"
    yield f"A cohort of {usual['cohort']}, of {usual['clients']:,} clients."


def inversion():
    report = numbers("attacks/inversion")
    setting, rows = report["setting"], report["rows"]
    digits, clients = setting["digits"], setting["clients"]

    def dense(view, attack="all units"):
        return only(rows, model="2nn", view=view, attack=attack)

    def pointed(row):
        return f"{row['identified'] * row['digits']:.0f}"

    clear = only(rows, model="cnn", view="clear update")
    luck = f"{binom.sf(1, digits, 1 / clients):.1%}"
    mean_image = dense("clear update")["psnr_of_mean_image"]
    assert max(row["psnr_median"] for row in rows) < 200
    yield "at most 200, which stands for equality"
    yield f"Guessing the mean training image has {mean_image:.1f} dB."
    yield (
        f"any other of the {clients} clients' digits? By chance that happens to "
        f"{digits / clients:g} of {digits}, and to two or more in {luck} of rows."
    )
    yield f"one round of {clients} clients, all of them in it"
    yield f'"Mean of {clients}" is what is released'
    yield f"({setting['pretraining']:,} other digits, once)"
    yield f"{setting['iterations']} iterations"
    small = " and ".join(str(size) for size in setting["cohorts"][:2])
    yield f"except for sums over {small}, whose digits"
    yield f"In sums of {setting['cohorts'][2]} one digit is looked for"
    yield f"all {pointed(clear)} digits, the worst at {min(clear['psnrs']):.1f} dB"
    yield "the 2NN's sum of 2 is a double exposure, that of 10 a blur"
    yield f"gets it back from sums of {small}"
    best = dense(f"sum over {clients}", "best unit")
    yield f"In the sum of {clients} even the best unit is at {best['psnr_median']:.1f} dB"
    pair, ten = (only(rows, model="cnn", view=f"sum over {size}") for size in (2, 10))
    assert pair["identified"] == 1
    yield "the CNN's sums of 2 with labels given"
    yield f"points to {pointed(ten)} of {ten['digits']} digits in sums of 10"
    yield f"a joint search for {clients} digits was not tried"
    lowest = dense("ε = 1, others known")
    yield f"one points to {pointed(lowest)} of {digits} right digits at ε = 1"
    yield "at ε = 1, 3 and 8 there is no decline to see"
    yield "at ε of 100 and more"
    loose, tight = (dense(f"ε = {epsilon}, others known") for epsilon in (1000, 100))
    yield f"points to {pointed(loose)} of {digits} digits at ε = 1000, to {pointed(tight)} at 100."
    share = dense("integers with own share of noise, ε = 8")
    yield (
        f"points to {pointed(share)} of {digits} right digits, where chance gives "
        f"{digits / clients:g}: the shares need the secure sum"
    )
    yield f"{setting['matched']} digits are few"


def membership():
    report = numbers("attacks/membership")
    setting, rows = report["setting"], report["rows"]
    strict, middle = only(rows, epsilon=1.0), only(rows, epsilon=3.0)

    def highest_rate_above(row):
        points = zip(row["fpr"], row["tpr"], row["tpr_ceiling"], strict=True)
        return max(fpr for fpr, tpr, ceiling in points if tpr > ceiling)

    yield (
        f"{setting['clients']} clients of {setting['examples']} examples, {setting['rounds']} "
        f"rounds, δ = {setting['delta']:g}, {setting['runs']} runs vmapped"
    )
    yield f"{setting['runs'] // 2 * setting['clients']:,} trials"
    yield f"standard error is {strict['auc_error']:.3f} if"
    yield (
        f"at ε = 1 the attack reaches {strict['auc']:.3f} of a possible {strict['auc_ceiling']:.3f}"
    )
    yield (
        f"rates up to {highest_rate_above(strict):.1g} the curve of ε = 1 is slightly above its "
        f"ceiling, and up to {highest_rate_above(middle):.1g} that of ε = 3"
    )
    yield f"{setting['clients']} clients are too few for DP on this task"


def audits():
    reports = numbers("attacks/audit")["audits"]
    (setting,) = {tuple(report["setting"].items()) for report in reports}
    setting = dict(setting)
    (guesses,) = {row["guesses"] for report in reports for row in report["rows"]}
    yield (
        f"{setting['canaries']:,} canaries beside the config's own clients, {guesses} guesses, "
        f"{setting['confidence']:.0%} confidence; {setting['repetitions']} audits in one program"
    )
    (powerless,) = {
        report["delta"]
        for report in reports
        if all(row["bound"] == 0 and row["correct"] > 0.9 * guesses for row in report["rows"])
    }
    yield f"at δ = {powerless:g} no number of right guesses proves anything"


def privacy():
    report, others = numbers("privacy/accuracy"), numbers("privacy/other_runs")
    sweeps = report["with_noise"].values()
    configs = [sweep["config"] for sweep in sweeps]
    (shards,) = {config["partition"]["shards_per_client"] for config in configs}
    (examples,) = {
        60_000 * config["partition"]["copies"] // config["partition"]["clients"]
        for config in configs
    }
    (norm,) = {config["privacy"]["clipping_norm"] for config in configs}
    (sent,) = {run["bytes_per_client_round"] for sweep in sweeps for run in sweep["runs"]}
    yield f"{shards} label shards a client, the training set repeated K/100 times above K = 100"
    yield f"every client holds {examples} digits"
    yield f"linear model ({sent // 4:,} parameters)"
    yield f"flat clipping to {norm:g}"
    first, second, third = (config["privacy"]["tuning_runs"] for config in configs)
    yield f"about {first}, {second} and {third} runs for the three K"
    yield "Above K = 100 an example is held by several clients"
    encrypted = others["encrypted"]["config"]
    aggregation = encrypted["aggregation"]
    yield (
        f"K = {encrypted['partition']['clients']} as above, but each client adds a share of "
        f"Skellam noise to its {aggregation['bits']}-bit integers and encrypts them with "
        f"{aggregation['key_bits']}-bit Paillier"
    )
    yield f"{encrypted['privacy']['colluders']} client that tells its own takes nothing"
    yield (
        f"beside the one of ε = {encrypted['privacy']['epsilon']:g} above; "
        f"δ = {encrypted['privacy']['delta']:g}"
    )
    exact = [
        run["test_accuracy"]
        for run in report["with_noise"]["K = 100"]["runs"]
        if run["settings"]["privacy.epsilon"] == "8"
    ]
    as_noisy = [run["test_accuracy"] for run in others["k100_gaussian_at_renyi"]["runs"]]
    gain = statistics.fmean(exact) - statistics.fmean(as_noisy)
    yield f"The tighter accountant that Gaussian noise has is worth {100 * gain:.2f} points"
    setting = numbers("privacy/benchmark")["setting"]
    yield (
        f"{setting['clients']} clients, {setting['examples']} digits each; two cores; with and "
        f"without a plan in turn, medians of {setting['repetitions']} rounds"
    )


def readme():
    rows = numbers("encryption/benchmark")["rows"]
    base = {"key_bits": 3072, "value_bits": 16, "mode": "default", "workers": 1}
    ratio = only(rows, protocol="paillier", **base)["encrypt_ratio_to_naive"]
    yield f"Packed Paillier encrypts {round(ratio, -2):,.0f} times as fast as one value at a time"
    engine = numbers("benchmarks/engine_under_load")["rows"]
    cnn = only(engine, model="cnn", name="engine", cores=1, chunk=1)["ratio_to_plain_convolution"]
    yield f"on one core the CNN trains {cnn:.0f} times as fast as the same network"
    attacks = numbers("attacks/inversion")["rows"]
    dense = only(attacks, model="2nn", view="clear update", attack="all units")["psnr_median"]
    matched = only(attacks, model="cnn", view="clear update")["psnr_median"]
    yield f"a clear update gives its digit back at {math.floor(dense)} dB"
    yield f"a CNN's clear update gives its digit back by gradient matching, at {matched:.0f} dB"
    curves = {row["epsilon"]: row for row in numbers("attacks/membership")["rows"]}
    yield (
        f"AUC {curves[None]['auc']:.2f} without privacy, {curves[1]['auc']:.2f} at ε = 1, where "
        f"{curves[1]['auc_ceiling']:.3f} is the ceiling"
    )


@pytest.mark.parametrize("claim", [*readme()], ids=lambda claim: claim[:60])
def test_what_the_readme_claims_is_what_the_numbers_say(claim):
    text = (RESULTS.parent / "README.md").read_text()
    assert claim.lower() in " ".join(text.split()).lower()


def parties_of(name):
    config = numbers(f"iris/{name}/sweep")["config"]
    data, aggregation = config["data"], config["aggregation"]
    seeds = [int(run["settings"]["seed"]) for run in numbers(f"iris/{name}/sweep")["runs"]]
    assert seeds == list(range(20)) and config["partition"]["clients"] in (2, 3)
    trained = 150 - data["test_examples"]
    yield f"{trained} flowers to train on"
    yield f"{data['test_examples']} to test on"
    yield f"{aggregation['key_bits']}-bit Paillier"


def iris_page():
    yield from parties_of("two_party")
    yield from parties_of("three_party")
    yield "over seeds 0 to 19"
    yield "tried on seeds 0 to 19"
    first = numbers("iris/three_party_first/sweep")
    reached = first["over_runs"]["test_accuracy"]
    yield (
        f"the settings of two and {first['config']['rounds']} rounds, which nobody had tried for "
        f"them, and had {mean_and_deviation(reached['mean'], reached['sd'])}"
    )
    yield "those of seeds 1000 to 1199; seeds 2000 to 2099 confirmed the choice once"


def mcmahan_page():
    config = numbers("mcmahan/2nn/iid_b10/sweep")["config"]
    (clients,) = {config["partition"]["clients"]}
    yield f"{clients} clients of {60_000 // clients} digits"
    yield "B = 10"
    yield f"on all {60_000:,} digits"
    rates = numbers("mcmahan/rates/b10/sweep")["runs"]
    (held_out,) = {run["settings"]["data.validation_examples"] for run in rates}
    yield f"{int(held_out):,} validation digits"


def writers_page():
    sweep = numbers("writers/fedavg/sweep")
    config = sweep["config"]
    yield f"{config['data']['validation_examples']:,} digits, of all writers, are held out"
    yield "539"
    yield f"{config['cohort']['size']} writers a round"
    yield f"B = {config['client']['batch_size']}, {config['rounds']} rounds"


def balance_page():
    config = numbers("balance/accuracy/none/sweep")["config"]
    yield f"{config['partition']['clients']:,} clients of two classes each"
    yield f"{config['cohort']['size']} take part in a round"
    yield f"the work of all {config['cohort']['size']} clients"
    (sent,) = {run["bytes_per_client_round"] for run in stages("none") if protocol(run) == "none"}
    yield f"{sent // 4:,} parameters"
    yield f"{config['aggregation']['bits']}-bit integers"
    yield f"δ = {config['privacy']['delta']:g}, {config['rounds']} rounds"
    (canaries,) = {each["setting"]["canaries"] for each in numbers("balance/audit")["audits"]}
    (sure,) = {each["setting"]["confidence"] for each in numbers("balance/audit")["audits"]}
    yield f"{sure:.0%} confidence"
    yield f"{canaries:,} canaries"
    rows = numbers("attacks/inversion")["rows"]
    guess = only(rows, model="2nn", view="clear update", attack="all units")["psnr_of_mean_image"]
    yield f"guessing the mean image has {guess:.1f} dB"


def stages(mechanism):
    return numbers(f"balance/stages/{mechanism}/sweep")["runs"]


def protocol(run):
    return run["settings"]["aggregation.protocol"]


def deploy_page():
    yield "at most 5% and 60 kB a round more"
    yield "no setting of Flower 1.42 changes"


def story():
    yield from parties_of("two_party")
    yield f"{iris.ORIGINAL_ACCURACY:.1%} in about {iris.ORIGINAL_SECONDS} s"
    yield "reaches 97%"
    yield "to 99%"
    config = numbers("mnist_six_party/config")
    yield f"{config['rounds']} rounds of one epoch"
    yield "averaged once, had 93.0%, its central model 91.75%"


CLAIMS = {
    "README.md": [*story()],
    "iris/README.md": [*iris_page()],
    "mcmahan/README.md": [*mcmahan_page()],
    "writers/README.md": [*writers_page()],
    "balance/README.md": [*balance_page()],
    "deploy/README.md": [*deploy_page()],
    "encryption/README.md": [*encryption()],
    "benchmarks/README.md": [*benchmarks()],
    "attacks/README.md": [*inversion(), *membership(), *audits()],
    "privacy/README.md": [*privacy()],
}
PAIRS = [(document, claim) for document, claims in CLAIMS.items() for claim in claims]


_NO_PROSE = ("|", "    ", "#", "<!--", "Made by commit")


def prose(document):
    """A text without tables, commands and headings, on one line."""
    text = (RESULTS / document).read_text()
    lines = [line for line in text.splitlines() if not line.startswith(_NO_PROSE)]
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(("document", "claim"), PAIRS, ids=lambda each: each[:60])
def test_a_claim_is_what_the_numbers_say(document, claim):
    assert claim in prose(document)


@pytest.mark.parametrize("document", CLAIMS)
def test_no_other_number_stands_in_the_prose(document):
    left = prose(document)
    for claim in CLAIMS[document]:
        left = left.replace(claim, "")
    code, link, year = r"`[^`]*`", r"\]\([^)]*\)", r"\b20\d\d\b"
    left = re.sub(f"{code}|{link}|{year}", "", left)
    assert not re.findall(r".{,40}(?<!\w)\d[\d,.]*(?!\w).{,20}", left)


@pytest.mark.parametrize("name", ["compared", "threshold"])
def test_protocols_end_with_the_same_parameters(name):
    runs = numbers(f"encryption/mnist_ten_party_{name}")["runs"]
    assert len({run["parameters_sha256"] for run in runs}) == 1


def test_fewest_bytes_and_least_time_of_all_that_hide():
    rounds = [
        row
        for row in numbers("encryption/benchmark")["client_rounds"]
        if row["params"] > 100 and row["protocol"] != "plain"
    ]
    for one, other in itertools.product(rounds, rounds):
        if one["protocol"] == "masking" != other["protocol"] and one["params"] == other["params"]:
            assert one["bytes"] < other["bytes"]
            assert one["encrypt_seconds"] < other["encrypt_seconds"]
