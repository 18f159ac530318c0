"""Tables in texts: made anew where they stand, and nothing else is touched."""

import pytest

from pride_jax.reporting.markdown import fill, mean_and_deviation, rounded, table

TEXT = """Before.

<!-- table one -->
| old |
<!-- end -->

Between <!-- a remark -->.

<!-- table the other -->
<!-- end -->
"""


def test_a_table_has_a_rule_below_its_header():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_only_what_stands_between_the_marks_is_replaced():
    tables = {"one": "1\n", "the other": "2\n"}
    filled = fill(TEXT, tables.__getitem__)
    assert filled == TEXT.replace("| old |\n", "1\n").replace("other -->\n", "other -->\n2\n")
    assert fill(filled, tables.__getitem__) == filled


def test_a_table_may_be_named_with_its_folder():
    assert fill("<!-- table a b/c d -->\n<!-- end -->", str.upper).startswith(
        "<!-- table a b/c d -->\nA B/C D<!-- end -->"
    )


def test_a_mean_is_told_with_its_deviation():
    assert mean_and_deviation(0.96512, 0.0149) == "0.965 ± 0.015"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0, 2, "0"),
        (0.0174, 2, "0.017"),
        (3.841, 2, "3.8"),
        (9.96, 2, "10"),
        (80.01, 2, "80"),
        (9362.2, 2, "9,400"),
        (-0.0213, 2, "-0.021"),
        (0.074499, 3, "0.0745"),
        (2.0, 3, "2.00"),
    ],
)
def test_significant_digits(value, digits, shown):
    assert rounded(value, digits) == shown
