"""The agreement study on judges that others recorded: its figures are those that a few lines of plain Python count."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.jobs.drive import ROOT, Outcome, truing
from tests.shared import shared_data
from truing.config.load import load_study
from truing.records import canonical_pair

GPT4, CHATGPT = "judges.GPT-4/Vanilla", "judges.ChatGPT/Vanilla"


@dataclass(frozen=True)
class Study:
    """A finished `truing label` with an agreement section alone."""

    outcome: Outcome
    folder: Path

    @property
    def set(self) -> dict[str, Any]:
        (one,) = json.loads((self.folder / "agreement.json").read_text(encoding="utf-8"))
        return one

    def figure(self, name: str, scope: str = "all", group: str = "all", labeler: int = 0) -> dict[str, Any]:
        rows = self.set["trust"][labeler]["rows"]
        (found,) = [row for row in rows if (row["scope"], row["group"], row["figure"]) == (scope, group, name)]
        return found


def study(storage: Path, name: str, labeler: dict[str, Any], path: str) -> Study:
    config = {"name": name, "seed": 7, "sample": None, "labeler": labeler, "storage": str(storage)}
    config |= {"agreement": {"sets": [{"path": path, "name": "people"}]}}
    file = storage / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Study(truing(storage, "label", str(file)).expect(0), storage / name)


def recorded(path: str, verdict: str) -> dict[str, Any]:
    return {"kind": "recorded", "path": path, "verdict": verdict}


def rows(path: str) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# --- LLMBar: GPT-4 in both orders -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llmbar() -> str:
    return str(shared_data("llmbar"))


@dataclass(frozen=True)
class Case:
    """One pair of LLMBar, once, as plain Python reads it: verdicts name output 1 or 2."""

    human: str
    ab: str
    ba: str
    swapped: bool


def cases(path: str, judge: str) -> list[Case]:
    """Pairs with two verdicts; the same pair again is left out, as are verdicts that are missing."""
    found: dict[str, Case] = {}
    for row in rows(path):
        pair, swapped = canonical_pair(row["input"], row["output_1"], row["output_2"], "")
        verdicts = (row["judges"] or {}).get(judge)
        if pair.id not in found and row["output_1"].strip() != row["output_2"].strip() and verdicts and all(verdicts):
            found[pair.id] = Case(str(row["label"]), *map(str, verdicts), swapped)
    return list(found.values())


@pytest.fixture(scope="module")
def gpt4(tmp_path_factory: pytest.TempPathFactory, llmbar: str) -> Study:
    return study(tmp_path_factory.mktemp("gpt4"), "gpt4", recorded(llmbar, GPT4), llmbar)


def test_agreement_with_people_is_the_share_counted_by_hand(gpt4: Study, llmbar: str) -> None:
    known = cases(llmbar, "GPT-4/Vanilla")
    # Both orders for one response: it is the judge's choice. One for each: a tie, which goes to the pair's first one,
    # that is to output 2 where the pair is stored the other way round.
    right = sum(c.human == (c.ab if c.ab == c.ba else "2" if c.swapped else "1") for c in known)
    found = gpt4.figure("alignment")
    assert found["n"] == len(known) > 500
    assert found["value"] == pytest.approx(right / len(known))
    assert found["low"] < found["value"] < found["high"]
    assert found["value"] > 0.7


def test_order_consistency_is_the_share_counted_by_hand(gpt4: Study, llmbar: str) -> None:
    known = cases(llmbar, "GPT-4/Vanilla")
    flips = sum(c.ab != c.ba for c in known)
    assert gpt4.figure("flip rate")["value"] == pytest.approx(flips / len(known))
    # A hard verdict that flips has followed a position, and the ties are these pairs.
    assert gpt4.figure("same position rate")["value"] == pytest.approx(flips / len(known))
    assert gpt4.figure("ties")["value"] == flips
    # Shown first in the order as given is output 1, in the other output 2.
    first = sum((c.ab, c.ba) == ("1", "2") for c in known)
    assert gpt4.figure("first among same position")["value"] == pytest.approx(first / flips)


def test_the_subsets_have_figures_of_their_own(gpt4: Study, llmbar: str) -> None:
    subsets = {row["subset"] for row in rows(llmbar)}
    groups = {row["group"] for row in gpt4.set["trust"][0]["rows"] if row["scope"] == "domain"}
    assert groups <= subsets
    assert len(groups) > 3


def test_calibration_is_shown_on_pairs_that_it_was_not_fitted_on(gpt4: Study, llmbar: str) -> None:
    (one,) = gpt4.set["calibration"].values()
    n = {row["n"] for row in one["rows"]}
    assert len(n) == 1
    assert n.pop() + one["map"]["pairs"] == len(cases(llmbar, "GPT-4/Vanilla"))
    assert one["map"]["logit"] > 0
    assert "Calibration" in gpt4.outcome.out


# --- PandaLM: GPT-3.5 in one order, and the annotators ------------------------------------------------------------------


@pytest.fixture(scope="module")
def pandalm(tmp_path_factory: pytest.TempPathFactory) -> Study:
    path = str(shared_data("pandalm_human"))
    return study(tmp_path_factory.mktemp("gpt35"), "gpt35", recorded(path, "gpt35_result"), path)


def test_a_judge_of_one_order_has_agreement_and_no_consistency(pandalm: Study) -> None:
    seen: set[str] = set()
    right: list[bool] = []
    for row in rows(str(shared_data("pandalm_human"))):
        texts = row["response1"], row["response2"]
        if not all(isinstance(text, str) for text in texts) or texts[0].strip() == texts[1].strip():
            continue
        prompt = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        pair, swapped = canonical_pair(prompt, *texts, "")
        votes = [row[f"annotator{i}"] for i in (1, 2, 3)]
        human = next((v for v in (0, 1, 2) if votes.count(v) > 1), None)
        if pair.id in seen or human is None:
            continue
        seen.add(pair.id)
        verdict = str(row["gpt35_result"]).lower()
        if human and verdict in ("1", "2", "tie"):
            right.append(int(verdict) == human if verdict != "tie" else human == (2 if swapped else 1))
    found = pandalm.figure("alignment")
    assert found["n"] == len(right) > 500
    assert found["value"] == pytest.approx(sum(right) / len(right))
    assert pandalm.figure("flip rate")["value"] is None
    assert pandalm.figure("same position rate")["value"] is None


def test_the_annotators_agreement_is_told(pandalm: Study) -> None:
    people = {(row["group"], row["figure"]): row for row in pandalm.set["people"]}
    assert 0.5 < people["all", "agreement"]["value"] < 1
    assert 0 < people["all", "Fleiss' kappa"]["value"] < 1
    assert ("annotators 1 and 2", "kappa") in people


# --- several labelers --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, llmbar: str) -> Study:
    labeler = {"kind": "ensemble", "members": [recorded(llmbar, GPT4), recorded(llmbar, CHATGPT)]}
    return study(tmp_path_factory.mktemp("both"), "both", labeler, llmbar)


@pytest.fixture(scope="module")
def cascade(tmp_path_factory: pytest.TempPathFactory, llmbar: str) -> Study:
    labeler = {"kind": "cascade", "first": recorded(llmbar, CHATGPT), "second": recorded(llmbar, GPT4)}
    return study(tmp_path_factory.mktemp("cascade"), "cascade", labeler, llmbar)


def p_first(case: Case) -> float:
    return ((case.ab == "1") + (case.ba == "1")) / 2


def joined(path: str, name: Callable[[float, float], float]) -> tuple[int, int]:
    """(pairs, pairs on which the combination names people's choice) of GPT-4's p and ChatGPT's."""
    one, two = cases(path, "GPT-4/Vanilla"), cases(path, "ChatGPT/Vanilla")
    assert [c.human for c in one] == [c.human for c in two], "both judged every pair: no joining is needed"
    right = 0
    for a, b in zip(one, two, strict=True):
        p = name(p_first(a), p_first(b))
        choice = "1" if p > 0.5 else "2" if p < 0.5 else "2" if a.swapped else "1"
        right += choice == a.human
    return len(one), right


def test_an_ensemble_averages_its_members(both: Study, llmbar: str) -> None:
    n, right = joined(llmbar, lambda gpt4, chatgpt: (gpt4 + chatgpt) / 2)
    assert [one["labeler"] for one in both.set["trust"]] == ["together", GPT4, CHATGPT]
    found = both.figure("alignment")
    assert (found["n"], found["value"]) == (n, pytest.approx(right / n))
    assert 0 < both.set["concordance"]["value"] < 1


def test_a_cascade_asks_the_second_where_the_first_is_unsure(cascade: Study, llmbar: str) -> None:
    # ChatGPT is unsure where its verdict flips: p = 1/2 < 0.75.
    n, right = joined(llmbar, lambda gpt4, chatgpt: gpt4 if chatgpt == 0.5 else chatgpt)
    answered = cases(llmbar, "ChatGPT/Vanilla")
    unsure = sum(p_first(case) == 0.5 for case in answered)
    found = cascade.figure("alignment")
    assert (found["n"], found["value"]) == (n, pytest.approx(right / n))
    # The first one is asked about all pairs, also those of which nothing is recorded: 900 rows, of which three pairs are
    # there twice. What it has not answered goes to the second, as what it is unsure of.
    assert cascade.set["pairs"] == 897
    assert cascade.set["asked"] == 897 + unsure + (897 - len(answered))


# --- a live labeler, asked in two ways ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Study:
    """configs/smoke/agreement.yaml on the tiny model: at once, and with exemplars and a rationale."""
    storage = tmp_path_factory.mktemp("live")
    recipe = str(ROOT / "configs" / "smoke" / "agreement.yaml")
    outcome = truing(storage, "label", recipe, f"storage={storage}", f"labeler.model.path={tiny}")
    return Study(outcome.expect(0), storage / "smoke-agreement")


def test_each_way_of_asking_has_its_figures(live: Study) -> None:
    ways = [one["asking"] for one in live.set["trust"]]
    assert ways == ["base, no exemplars, no rationale", "detailed, 2 exemplars, 1 rationale"]
    assert [live.figure("alignment", labeler=i)["n"] for i in (0, 1)] == [24, 24]
    assert set(live.set["calibration"]) == set(ways)


def test_the_wording_s_spread_is_measured_on_common_pairs(live: Study) -> None:
    wording = {(row["group"], row["figure"]): row for row in live.set["wording"]}
    values = [wording[one["asking"], "alignment"]["value"] for one in live.set["trust"]]
    assert wording["all", "lowest alignment"]["value"] == min(values)
    assert wording["all", "highest alignment"]["value"] == max(values)


def test_rationales_are_kept_with_the_label(live: Study) -> None:
    import pyarrow.parquet as pq

    parts = (path for path in live.folder.glob("agreement/demo/*/*.parquet") if "." not in path.parent.name)
    labels = [row for path in parts for row in pq.read_table(path).to_pylist()]
    assert len(labels) == 48
    assert {len(row["rationales_ab"]) for row in labels if "1 rationale" in row["asking"]} == {1}
    assert {len(row["rationales_ab"]) for row in labels if "no rationale" in row["asking"]} == {0}


def test_one_file_on_the_command_line_is_one_set() -> None:
    study = load_study(ROOT / "configs" / "agreement.yaml", ["agreement=human.jsonl"])
    assert study.agreement is not None
    assert [one.path for one in study.agreement.sets] == ["human.jsonl"]
