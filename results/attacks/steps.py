"""How the numbers of the attacks are made: ``python -m results.redo attacks``."""

from results.redo import Step

_AUDIT = "scripts/audit.py --repetitions 20 --out OUT --config"

STEPS = {
    "threats": Step(("-m results.attacks.mounted OUT/threats.json",), ("threats.json",)),
    "inversion": Step(
        ("scripts/attack.py inversion --matched 4 --out OUT",),
        ("inversion.json", "inversion_2nn.png", "inversion_cnn.png"),
    ),
    "membership": Step(("scripts/attack.py membership --out OUT",), ("membership.json",)),
    "audit": Step(
        (
            f"{_AUDIT} configs/digits_dp.py",
            *(
                f"{_AUDIT} configs/digits_dp.py --privacy.delta 1e-5 --privacy.epsilon {epsilon}"
                for epsilon in (8, 3, 1)
            ),
            f"{_AUDIT} configs/iris_dp.py",
        ),
        ("audit.json",),
    ),
    "kit": Step(("-m results.attacks.kit OUT/kit.json",), ("kit.json",)),
}
