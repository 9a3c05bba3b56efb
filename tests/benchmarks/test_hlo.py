"""Costs are read off the text of a program for a TPU."""

from benchmarks import hlo

TEXT = """HloModule jit_f

%body.1 (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %fusion.1 = f32[8]{0} fusion(%x), kind=kLoop, calls=%inner, backend_config={"estimated_cycles":"7"}
}

%inner (x: f32[8]) -> f32[8] {
  %gather.1 = u32[20,4]{1,0} gather(%x, %i), offset_dims={1}, slice_sizes={1,4}
}

%condition.1 (arg: (s32[], f32[8])) -> pred[] {
  %constant.5 = s32[]{:T(128)} constant(3)
  ROOT %lt.1 = pred[] compare(%i, %constant.5), direction=LT
}

%condition.2 (arg: (s32[], f32[8])) -> pred[] {
  ROOT %and.1 = pred[] and(%a, %b)
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %while.1 = (s32[], f32[8]) while(%t), condition=%condition.1, body=%body.1
  %while.2 = (s32[], f32[8]) while(%t), condition=%c, body=%body.1, backend_config={"known_trip_count":{"n":"10"}}
  %while.3 = (s32[], f32[8]) while(%t), condition=%condition.2, body=%body.1
  %all-reduce.1 = f32[8]{0} all-reduce(%x), backend_config={"estimated_cycles":"9223372036854775807"}
  %fusion.2 = f32[8]{0} fusion(%x), kind=kLoop, calls=%other, backend_config={"estimated_cycles":"100"}
}
"""  # noqa: E501


def test_loops_multiply_what_is_within_them():
    costs = hlo.read(TEXT)
    assert costs.cycles == 100 + (3 + 10 + 1) * 7
    assert costs.gathered == (3 + 10 + 1) * 20
    assert costs.unknown_loops == 1


def test_collectives_are_counted_and_have_no_estimate():
    assert hlo.read(TEXT).collectives == {"all-reduce": 1}
