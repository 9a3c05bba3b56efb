import math
import re

import numpy as np
import pytest

from hierjax.runs import LayerwiseRun
from tests.experiments import jobs
from tests.experiments.laws import ExperimentLaws, Stopped, lines_of

BAD = {
    "--num_train=51": "51 orthonormal vectors do not fit into 50 dimensions",
    "--num_classes=31": "num_classes=31 must be at most num_train=30",
    "--num_classes=1": "num_classes=1 must be from 2 to 4096",
    "--num_layers=1": "num_layers=1 must be from 2 to 64",
    "--width=0": "width=0 must be from 1 to 4096",
    "--noise=-1": "noise=-1.0 must be from 0 to 1000",
    "--init_scale=0": "init_scale=0.0 must be above 0",
    "--learning_rate=nan": "learning_rate=nan must be above 0 and finite",
    "--num_steps=0": "num_steps=0 must be from 1 to",
}
SCALE, LAYERS = 0.4, 4


class TestLayerCompression(ExperimentLaws):
    name = "layer_compression"
    flags = (
        f"--num_layers={LAYERS}",
        "--width=16",
        "--num_train=12",
        "--num_inputs=16",
        "--num_classes=3",
        f"--init_scale={SCALE}",
        "--learning_rate=0.2",
        "--num_steps=1500",
        "--num_seeds=3",
    )
    bad = BAD

    def fail_after_the_first(self, patch):
        """There is no second fit: it fails between the one and its summary."""

        def fail(*args):
            raise Stopped("by a test")

        patch.setattr(LayerwiseRun, "summary", fail)

    def test_layers_compress_by_the_rate_of_balanced_matrices(self, finished):
        """Directions that are learned are stretched alike by all L + 1 matrices, by (N/K)^(1/2) in
        all; the others shrink by the first scale in each."""
        summary = jobs.summary_of(finished[0])
        rate = 2 * math.log10(SCALE) - math.log10(12 / 3) / (LAYERS + 1)
        assert summary["compression_slope"]["per_seed"] == pytest.approx(3 * [rate], abs=0.03)
        assert min(summary["compression_r2"]["per_seed"]) > 0.999
        assert summary["train_loss"]["max"] < 1e-4
        assert len(summary["compression"]) == len(summary["discrimination"]) == LAYERS
        assert set(summary["rank"][0]) == {"mean", "std", "max", "per_seed"}
        assert summary["rank"][0]["per_seed"] == [11, 11, 11]
        for layer in range(1, LAYERS + 1):
            assert re.search(rf"^deep_linear +{layer} +\d", finished[1].out, re.MULTILINE)

    def test_the_public_setting(self, tmp_path):
        jobs.succeed(self.name, tmp_path, "--num_seeds=5")
        summary = jobs.summary_of(tmp_path)
        assert summary["compression_slope"]["per_seed"] == pytest.approx(5 * [-1.22], abs=0.05)
        assert summary["discrimination_slope"] > 0
        assert summary["discrimination_r2"] >= 0.95
        assert summary["rank"][-1]["per_seed"] == 5 * [2]

    def check_figure(self, axes, summary):
        for axis, name in zip(axes, ("compression", "discrimination", "rank"), strict=True):
            *seeds, mean = lines_of(axis, "tab:blue")
            assert len(seeds) == 3
            rows = np.array([each["per_seed"] for each in summary[name]])
            average = np.exp(np.log(rows).mean(axis=1)) if name == "compression" else rows.mean(1)
            np.testing.assert_allclose(mean.get_ydata(), average, rtol=1e-6)
        (line,) = lines_of(axes[0], "black")
        falls = np.diff(np.log10(line.get_ydata()))
        np.testing.assert_allclose(falls, summary["compression_slope"]["mean"], rtol=1e-6)
        (line,) = lines_of(axes[1], "black")
        np.testing.assert_allclose(np.diff(line.get_ydata()), summary["discrimination_slope"])
