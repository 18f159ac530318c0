"""The schedule's reader counts launches, host waits and bytes as they stand in XLA's texts."""

import pytest

from bench import gpu_schedule
from bench.common.gpu_text import Step, kernels, size, step
from bench.gpu_schedule import Setting, cases
from pride_jax.errors import ConfigError, PrideError

PROGRAM = """HloModule jit_many_rounds

%gather_rows (p0: u8[1000,8], p1: s32[4]) -> f32[4,8] {
  %p0 = u8[1000,8]{1,0} parameter(0)
  %p1 = s32[4]{0} parameter(1)
  %rows = u8[4,8]{1,0} gather(%p0, %p1), slice_sizes={1,8}
  ROOT %c = f32[4,8]{1,0} convert(%rows)
}

%gemm_fusion_dot_all (q0: f32[4,8], q1: f32[8,2]) -> f32[4,2] {
  %q0 = f32[4,8]{1,0} parameter(0)
  %q1 = f32[8,2]{1,0} parameter(1)
  ROOT %d = f32[4,2]{1,0} dot(%q0, %q1)
}

%body (t: (u8[1000,8], s32[4], f32[8,2])) -> (u8[1000,8], s32[4], f32[8,2]) {
  %t = (u8[1000,8]{1,0}, s32[4]{0}, /*index=2*/f32[8,2]{1,0}) parameter(0)
  %x = u8[1000,8]{1,0} get-tuple-element(%t), index=0
  %i = s32[4]{0} get-tuple-element(%t), index=1
  %w = f32[8,2]{1,0} get-tuple-element(%t), index=2
  %taken = f32[4,8]{1,0} fusion(%x, %i), kind=kLoop, calls=%gather_rows
  %gemm_fusion_dot = f32[4,2]{1,0} fusion(%taken, %w), calls=%gemm_fusion_dot_all
  ROOT %r = (u8[1000,8]{1,0}, s32[4]{0}, f32[8,2]{1,0}) tuple(%x, %i, %w)
}

ENTRY %main (a: u8[1000,8]) -> u8[1000,8] {
  %a = u8[1000,8]{1,0} parameter(0)
  %while.1 = (u8[1000,8]{1,0}, s32[4]{0}, f32[8,2]{1,0}) while(%a), condition=%cond, body=%body
  ROOT %copy.1 = u8[1000,8]{1,0} copy(%a)
}
"""

LOOP = """
{0}000: kWhile        [source | sink]
condition:
{0}    001: kCustomKernel [source | sink] wrapped_compare grid: [1, 1, 1]
{0}  body:
{0}    002: kCustomKernel [source | next=003 (1)] taken grid: [1, 1, 1]
{0}    003: kCustomKernel [prev=002 (1) | sink] gemm_fusion_dot grid: [1, 1, 1]
"""


def test_of_a_table_that_is_gathered_from_only_what_is_taken_counts():
    taken, product = kernels(PROGRAM, "body")
    assert (taken.bytes, taken.product) == (4 * 8 + 4 * 4 + 4 * 8 * 4, False)
    assert (product.bytes, product.product) == (4 * 8 * 4 + 8 * 2 * 4 + 4 * 2 * 4, True)
    (copy,) = kernels(PROGRAM)
    assert copy.bytes == 2 * 1000 * 8


@pytest.mark.parametrize(
    ("types", "expected"),
    [("f32[3,2]{1,0}", 24), ("(bf16[4], pred[5])", 13), ("f32[]", 4), ("u8[0]", 0)],
)
def test_bytes_of_types(types, expected):
    assert size(types) == expected


@pytest.mark.parametrize(
    ("thunks", "waits"),
    [
        (LOOP.format(""), 1),
        ("000: kCommandBuffer [source | sink]" + LOOP.format("    "), 0),
    ],
)
def test_a_loop_waits_for_the_host_unless_it_is_in_a_graph(thunks, waits):
    moved = sum(each.bytes for each in kernels(PROGRAM, "body"))
    assert step(PROGRAM, thunks) == Step(kernels=3, host_waits=waits, bytes=moved, products=1)


def test_a_program_without_training_is_refused():
    with pytest.raises(PrideError, match="no loop with a product"):
        step(PROGRAM.replace("body=%body", "body=%gather_rows"), LOOP.format(""))


def test_one_factor_is_varied_at_a_time_and_twenty_programs_are_compiled_at_most():
    assert len(set(cases())) == len(cases()) <= 20
    for case in cases():
        common = gpu_schedule.Case(case.network)
        assert sum(one != other for one, other in zip(case, common, strict=True)) <= 1


def test_a_card_that_nobody_described_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.txtpb: there is no such file"):
        gpu_schedule.measure(Setting(card=tmp_path / "a.txtpb"))
