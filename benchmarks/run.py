"""How fast hierjax is, and against what.

Every case is checked for correctness, then timed in turns with its baseline. A row for each goes
to the screen, and a line of JSON with all figures, versions and the machine to a results file.

    python -m benchmarks.run

takes about eight minutes on an idle machine, and --quick one. On a CPU everything is pinned to one
core, and "times less" compares CPU-seconds; on other devices seconds. "of floor" is the share of a
call's time that its arithmetic or its memory traffic would take at the measured ceilings. Some
baselines need PyTorch, pip install '.[bench]'; beside an accelerator there are none of the CPU.

Memory is that of malloc as it is found. Where glibc returns what was freed and must fetch it again
for every call, a sampler in PyTorch takes up to twice the time; to have it kept:

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=1073741824 python -m benchmarks.run --suite sampler
"""

from benchmarks import session
from benchmarks.ceilings import Ceilings, measure_ceilings
from benchmarks.harness import measure


def main() -> None:
    """Measures every case of the suites asked for, and writes each when it is done."""
    with session.measuring(__doc__) as (request, path):
        ceilings = measure_ceilings(request.quick)
        print(_ceilings_line(ceilings))
        print(_HEADER)
        for suite in request.suites:
            for case in suite.cases(request.quick):
                record = measure(case, request.repeats, ceilings)
                session.append(path, record)
                print(row(record), flush=True)


_HEADER = (
    f"{'suite':10} {'case':46} {'ms a call':>10} {'(quartiles)':>20} {'cpu ms':>9} "
    f"{'compile s':>9} {'items/s/device':>14} {'of floor':>8} {'MB':>7} {'baseline cpu ms':>15} "
    f"{'times less':>10}"
)


def row(record: dict) -> str:
    """A record as a line under `_HEADER`."""
    ours, baseline = record["ours"], record["baseline"]
    quartiles = f"({1e3 * ours['seconds']['q1']:.2f} - {1e3 * ours['seconds']['q3']:.2f})"
    share = "-" if record["share"] is None else f"{record['share']:.0%}"
    compiling = "-" if ours["compile_seconds"] is None else f"{ours['compile_seconds']:.2f}"
    megabytes = "-" if ours["peak_bytes"] is None else f"{ours['peak_bytes'] / 1e6:.0f}"
    against = f"{1e3 * baseline['cpu_seconds']:.2f}" if baseline else "-"
    ratio = f"{record['ratio']:.2f}" if baseline else "-"
    return (
        f"{record['suite']:10} {record['case']:46} {1e3 * ours['seconds']['median']:10.2f} "
        f"{quartiles:>20} {1e3 * ours['cpu_seconds']:9.2f} {compiling:>9} "
        f"{ours['items_per_second']:14,.0f} {share:>8} {megabytes:>7} {against:>15} {ratio:>10}"
    )


def _ceilings_line(ceilings: Ceilings) -> str:
    return (
        f"ceilings: {ceilings.flops_per_second / 1e9:.0f} GFLOP/s of a large matrix product, "
        f"{ceilings.bytes_per_second / 1e9:.1f} GB/s of a large copy"
    )


if __name__ == "__main__":
    main()
