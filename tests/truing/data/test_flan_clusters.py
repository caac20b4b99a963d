from tests.vectors import vector
from truing.config.supervised import Examples, Mixture


def test_the_tasks_left_to_train_on_reproduce_the_vector() -> None:
    case = vector("flan_inter_cluster")
    sources = tuple(
        Examples(path="none.jsonl", prompt="q", answer="a", task=task, cluster=cluster)
        for cluster, tasks in case["input"]["clusters"].items()
        for task in tasks
    )
    counts = {
        held_out: sum(
            source.cluster not in Mixture(sources=sources, held_out=(held_out,)).excluded for source in sources
        )
        for held_out in case["expected"]
    }
    assert counts == case["expected"]
