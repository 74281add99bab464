"""What a checker sees of scans and figures."""

from typing import Any, assert_type

import numpy as np
import xarray

import dmft
from dmft.scan import escape_fits, status

if __name__ == "__main__":
    scan = dmft.Scan(
        dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0),
        [dmft.Langevin(), dmft.GradientFlow()],
        over={"delta2": np.linspace(0.1, 0.5, 9), "deltap": [0.5, 1.0, 2.0]},
        t_max=20.0,
        m0=1e-4,
        events=dmft.Crossing("m", 0.5),
    )
    assert_type(scan, dmft.Scan)
    assert_type(scan.shape, tuple[int, ...])
    assert_type(scan.size, int)
    assert_type(scan.sha256, str)
    state = scan.run("DIR", workers=2)
    assert_type(state, dmft.ScanStatus)
    assert_type(state.missing, int)
    assert_type(state.failures, list[dict[str, Any]])
    assert_type(status("DIR"), dmft.ScanStatus)
    data = dmft.gather("DIR")
    assert_type(data, xarray.Dataset)
    for at, fit, reason in escape_fits(data, "delta2"):
        assert_type(at, dict[str, Any])
        assert_type(fit, dmft.EscapeFit | None)
        assert_type(reason, str)
    assert_type(dmft.scan.gather("DIR"), xarray.Dataset)
