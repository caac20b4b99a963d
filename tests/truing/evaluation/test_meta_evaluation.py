import math
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.truing.evaluation.recorded import experts, judged, rows
from truing.algorithms.scores import legacy_score
from truing.evaluation.geval import mean_of_samples, parse_score
from truing.evaluation.meta_evaluation import Level, meta_evaluation, score_table

FloatArray = NDArray[np.float64]


def values(level: Level) -> list[float]:
    return [math.nan if one is None else one.value for one in (level.pearson, level.spearman, level.kendall)]


def test_three_documents_by_hand() -> None:
    # Document 1: the same order, 1. Document 2: the reverse, -1. Document 3: the judge is constant, skipped. Summary: 0.
    # System means: judge (1+3+2)/3 = 2, 2, (3+1+2)/3 = 2: constant, no figure. Human (1+1+1)/3 = 1, 2, 3.
    judge = np.array([[1.0, 2, 3], [3, 2, 1], [2, 2, 2]])
    human = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3]])
    found = meta_evaluation(judge, human, seed=0, resamples=50)
    assert values(found.summary) == pytest.approx([0, 0, 0], abs=1e-12)
    assert (found.summary.n, found.skipped, found.documents) == (2, 1, 3)
    assert found.summary.pearson is not None
    assert (found.summary.pearson.low, found.summary.pearson.high) == pytest.approx((-1, 1))
    assert found.summary.pearson.n == 2
    # All nine cells: judge deviations from 2 are -1 0 1, 1 0 -1, 0 0 0 and human -1 0 1 each time: 2 - 2 + 0 = 0.
    assert values(found.sample) == pytest.approx([0, 0, 0], abs=1e-12)
    assert found.sample.n == 9
    assert found.system == Level(3, None, None, None)


def test_a_cell_that_one_of_them_lacks_is_in_no_figure() -> None:
    judge = np.array([[1.0, 2, 9], [np.nan, 5, 6], [np.nan, 4, np.nan]])
    human = np.array([[1.0, 2, np.nan], [7, 1, 2], [1, 2, 3]])
    found = meta_evaluation(judge, human, seed=0, resamples=50)
    # Known: (1, 1), (2, 2) of document 1; (5, 1), (6, 2) of document 2; one cell of document 3, which has no order.
    assert (found.missing, found.sample.n, found.skipped) == (4, 5, 1)
    assert values(found.summary) == pytest.approx([1, 1, 1])
    # Systems: judge 1, (2 + 5 + 4)/3, 6; human 1, (2 + 1 + 2)/3, 2: all rising.
    assert values(found.system)[1:] == pytest.approx([1, 1])


def test_nothing_in_common_has_no_figure() -> None:
    found = meta_evaluation(np.full((2, 3), np.nan), np.ones((2, 3)), seed=0, resamples=10)
    assert found.summary == found.sample == found.system == Level(0, None, None, None)
    assert (found.missing, found.skipped) == (6, 2)


def test_one_system_has_no_order() -> None:
    found = meta_evaluation(np.arange(6.0)[:, None], np.arange(6.0)[:, None], seed=0, resamples=10)
    assert found.summary == Level(0, None, None, None)
    assert found.system == Level(1, None, None, None)
    assert values(found.sample) == pytest.approx([1, 1, 1])


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="both must be"):
        meta_evaluation(np.ones((2, 3)), np.ones((3, 2)), seed=0)
    with pytest.raises(ValueError, match="not empty"):
        meta_evaluation(np.ones((0, 3)), np.ones((0, 3)), seed=0)
    with pytest.raises(ValueError, match="infinite"):
        meta_evaluation(np.full((1, 2), np.inf), np.ones((1, 2)), seed=0)


def test_a_table_from_rows() -> None:
    table = score_table([("b", "s", 2.0), ("a", "t", None)], ["a", "b"], ["s", "t"])
    np.testing.assert_array_equal(table, [[np.nan, np.nan], [2.0, np.nan]])
    with pytest.raises(ValueError, match="'s' is scored twice on 'a'"):
        score_table([("a", "s", 1.0), ("a", "s", 1.0)], ["a"], ["s"])
    with pytest.raises(ValueError, match="'x' is not listed"):
        score_table([("a", "x", 1.0)], ["a"], ["s"])


def by_pandas(judge: FloatArray, human: FloatArray, method: str) -> list[float]:
    """Summary, sample and system level, worked out another way."""
    one, other = pd.DataFrame(judge), pd.DataFrame(human)
    one, other = one.mask(other.isna()), other.mask(one.isna())
    per_document = one.corrwith(other, axis=1, method=method)  # NaN where a document is constant
    pooled = one.stack().corr(other.stack(), method=method)
    return [per_document.mean(), pooled, one.mean().corr(other.mean(), method=method)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("dimension", "skipped", "missing"), [("consistency", 8, 0), ("relevance", 0, 2)])
def test_chatgpt_on_summeval_agrees_with_pandas(dimension: str, skipped: int, missing: int) -> None:
    judge, human = judged(dimension), experts(dimension)
    found = meta_evaluation(judge, human, seed=0, resamples=20)
    assert (found.documents, found.skipped, found.missing) == (100, skipped, missing)
    assert (found.summary.n, found.sample.n, found.system.n) == (100 - skipped, 1200 - missing, 12)
    for i, method in enumerate(("pearson", "spearman", "kendall")):
        ours = [values(level)[i] for level in (found.summary, found.sample, found.system)]
        assert ours == pytest.approx(by_pandas(judge, human, method), abs=1e-9), method
    assert found.system.spearman is not None
    assert found.system.spearman.low <= found.system.spearman.value <= found.system.spearman.high <= 1


def topical_chat(read: str) -> FloatArray:
    """Mean of the 20 samples of groundedness by our parser or the released one, [dialogues, systems]."""
    found = rows("topicalchat_judged")
    replies = [row["gpt35_samples"].get("gro/geval", []) for row in found]
    if read == "human":
        scores = [row["human"]["groundedness"] for row in found]
    elif read == "ours":
        scores = [mean_of_samples([parse_score(one, 0, 1) for one in sampled]).mean for sampled in replies]
    else:
        scores = [fmean(map(legacy_score, sampled)) if sampled else None for sampled in replies]
    dialogues, systems = (sorted({row[key] for row in found}) for key in ("dialogue", "system"))
    return score_table(
        zip((r["dialogue"] for r in found), (r["system"] for r in found), scores, strict=True), dialogues, systems
    )


@pytest.mark.filterwarnings("ignore")
def test_topical_chat_unread_replies_cost_correlation_when_they_count_as_0() -> None:
    # 6 of 60 dialogues are constant (people gave every response the same), 3 responses have no samples.
    human, ours, legacy = topical_chat("human"), topical_chat("ours"), topical_chat("legacy")
    found = meta_evaluation(ours, human, seed=0, resamples=20)
    released = meta_evaluation(legacy, human, seed=0, resamples=20)
    assert (found.documents, found.skipped, found.missing, found.sample.n) == (60, 6, 3, 357)
    assert values(found.summary) == pytest.approx(
        [by_pandas(ours, human, m)[0] for m in ("pearson", "spearman", "kendall")]
    )
    assert values(found.summary) == pytest.approx([0.696, 0.665, 0.589], abs=5e-4)
    assert values(released.summary) == pytest.approx([0.662, 0.643, 0.565], abs=5e-4)
