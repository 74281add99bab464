"""A scan on the workers of a dask cluster.

Run: python docs/dask_scan.py --out DIR       (pip install distributed)

On this machine two worker processes are started.  On a cluster put the client of its scheduler in their place,
``Client("tcp://host:8786")``, or that of dask-jobqueue.  The workers need dmft and must see DIR: every point is written
there by the worker that computes it, and the same command continues a scan that was stopped.
"""

import argparse

import dmft


def make_scan():
    """Langevin dynamics of the spiked matrix-tensor model: where does the overlap reach 1/2?"""
    model = dmft.SpikedMatrixTensor(p=3, delta2=0.5, deltap=1.0)
    return dmft.Scan(
        model,
        dmft.Langevin(),
        over={"delta2": [0.3, 0.4, 0.5], "deltap": [0.5, 1.0]},
        t_max=10.0,
        m0=1e-2,
        events=[dmft.Crossing("m", 0.5, terminal=False)],
        curves=[0.0, 2.5, 5.0, 7.5, 10.0],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, metavar="DIR", help="directory of the scan")
    args = parser.parse_args()
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        print(make_scan().run(args.out, executor=client))
    print(dmft.gather(args.out)["m_final"])


if __name__ == "__main__":  # the workers import this file
    main()
