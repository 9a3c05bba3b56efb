"""What one of several processes does in test_hosts: it writes what it has seen to a file of JSON.

hosts_job.py PORT PROCESSES PROCESS FOLDER
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hierjax.runs import LayerCheckpoints, RunFolder, hosts, map_seeds, seed_keys, seed_mesh
from hierjax.runs.parallel import call, compile_for


def numbers_of_seeds() -> np.ndarray:
    """Computes something of five seeds on all devices of all processes."""
    keys = seed_keys(0, 5)
    traced = map_seeds(lambda key: jax.random.normal(key, (3,))).trace(keys)
    return hosts.to_host(call(compile_for(seed_mesh(), traced), keys))


def raised(do) -> str:
    try:
        do()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fail_in_second() -> None:
    with hosts.together(), hosts.together():
        if hosts.number() == 1:
            raise ValueError("the second has failed")


def fail_in_first() -> None:
    hosts.from_first(lambda: 1 // 0)


def of_a_folder(path: Path) -> dict:
    folder = RunFolder(path, "job", {"size": 3})
    folder.log("event", number=1)
    found = [event["number"] for event in folder.events("event")]
    other = raised(lambda: RunFolder(path.parent / f"of_{hosts.number()}", "job", {}))
    full = raised(lambda: folder.write_json("nowhere/below/summary.json", {}))
    return {"events": found, "other": other, "full": full}


def of_checkpoints(path: Path) -> list:
    """Saves rows that the devices divide and rows that they do not."""
    even = np.arange(8, dtype=np.float32).reshape(4, 2)
    params = {"even": even, "odd": np.arange(3, dtype=np.int32), "one": np.float32(2)}
    with LayerCheckpoints(path, "run") as checkpoints:
        checkpoints.save(0, params, {"seconds": 1})
        checkpoints.save_rounds(1, params)
    layout = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    with LayerCheckpoints(path, "run") as checkpoints:
        (layer,) = checkpoints.restore(2, lambda index: layout)
        rounds = checkpoints.restore_rounds(1, lambda: layout)
    return [jax.tree.map(np.ndarray.tolist, each) for each in (layer, rounds)]


def main(port: str, processes: str, process: str, folder: str) -> None:
    """Joins the others, and writes what it has seen."""
    hosts.join(f"localhost:{port}", int(processes), int(process))
    where = Path(folder)
    seen = {
        "processes": hosts.count(),
        "devices": jax.device_count(),
        "seeds": numbers_of_seeds().tolist(),
        "from_first": hosts.from_first(hosts.number),
        "from_all": hosts.from_all({"number": hosts.number()}),
        "any_of": [hosts.any_of(hosts.number() == 1), hosts.any_of(False)],
        "second": raised(fail_in_second),
        "first": raised(fail_in_first),
        "same": raised(lambda: hosts.require_same({"sizes": (1, 2)})),
        "other": raised(lambda: hosts.require_same({"number": hosts.number()})),
        "one_device": raised(lambda: seed_mesh(1)),
        "pmap": raised(lambda: map_seeds(jnp.sin, impl="pmap")),
        "folder": of_a_folder(where / "run"),
        "checkpoints": of_checkpoints(where / "checkpoints"),
    }
    (where / f"{process}.json").write_text(json.dumps(seen))
    hosts.part()


if __name__ == "__main__":
    main(*sys.argv[1:])
