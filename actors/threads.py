"""Threads of a process that computes on CPUs beside others that do the same."""


def cpu_threads(count: int) -> dict[str, str]:
    """Variables that must be set before the process starts.

    OpenMP's threads wait for each other by turning round and round, for milliseconds unless told otherwise. Roles of a stage
    share their CPUs: who waits so takes the CPU from those that are waited for. A few microseconds do as well where a process
    is alone, and where three scorers work on the same two cores they are more than twice as fast (`python -m benchmarks.threads`).
    """
    return {"OMP_NUM_THREADS": str(count), "GOMP_SPINCOUNT": "3000"}
