"""How the cost of work grows with what a user scales, beside how its algorithm should.

Each growth is fitted by a power law over the larger half of its values; records go to a results
file, and the figure beside it. With several devices there is one with their number, too.

    python -m benchmarks.growth

takes about ten minutes on an idle machine, and --quick less than one.
"""

import numpy as np

from benchmarks import session
from benchmarks.ceilings import measure_ceilings
from benchmarks.harness import Growth, measure
from hierjax.plots.growth import growth_figure


def main() -> None:
    """Measures every growth of the suites asked for, and draws them."""
    with session.measuring(__doc__, "growth") as (request, path):
        ceilings, grown = measure_ceilings(request.quick), []
        for suite in request.suites:
            for growth in suite.growths(request.quick):
                record = _record(growth, ceilings, request.repeats)
                session.append(path, record)
                grown.append(record)
                print(
                    f"{record['suite']}: {growth.cost} grow with {growth.quantity} to the power "
                    f"{record['fitted']:.2f}, the algorithm's is {growth.exponent:g}",
                    flush=True,
                )
        growth_figure(grown).savefig(path.with_suffix(".png"))


def _record(growth: Growth, ceilings, repeats: int) -> dict:
    timed = growth.cost == "seconds"
    costs = []
    for value in growth.values:
        # Memory is that of the first call.
        repeats = repeats if timed else 1
        measured = measure(growth.make_case(value), repeats, ceilings)
        ours = measured["ours"]
        costs.append(ours["seconds"]["median"] if timed else ours["peak_bytes"])
    return {
        "suite": measured["suite"],
        "quantity": growth.quantity,
        "cost": growth.cost,
        "values": list(growth.values),
        "costs": costs,
        "exponent": growth.exponent,
        "fitted": fitted_exponent(growth.values, costs),
        **{name: measured[name] for name in ("date", "device", "platform", "versions", "commit")},
    }


def fitted_exponent(values, costs) -> float:
    """Of a power law, by least squares over the larger half of the values, two at least."""
    most = slice(-max(2, -(-len(values) // 2)), None)
    return float(np.polyfit(np.log(values[most]), np.log(costs[most]), 1)[0])


if __name__ == "__main__":
    main()
