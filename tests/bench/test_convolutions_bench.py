"""Both networks take the same steps, and what is timed is told in one line."""

import json

from bench import convolutions
from bench.convolutions import Setting


def test_steps_are_timed_and_told_in_one_line(capsys):
    setting = Setting(images=1, steps=1, repeats=2)
    report = convolutions.measure(setting)
    assert len(report.replaced) == len(report.left_alone) == 2
    assert report.difference <= 1e-6
    line = convolutions.as_json(setting, report)
    saved = json.loads(line)
    assert "\n" not in line and saved["ratio"] == report.ratio
    assert saved["setting"] == {"images": 1, "steps": 1, "repeats": 2}
    convolutions.show(report)
    assert f"{report.ratio:.1f}" in capsys.readouterr().out
