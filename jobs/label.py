"""Label: ask the labeler about the marked pairs, see how far it can be trusted, then let it label the others."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from jobs import marks, trust
from jobs.calibrated import map_key
from jobs.consult import Consulted, consult, judgements, remotely, stored, table
from jobs.context import Context
from jobs.preferences import write_preferences
from jobs.progress import console, headline, print_table
from jobs.requests import requests
from jobs.sample import sample
from jobs.store import ARMS, Table, write_json
from truing.config.labeling import Cascade, EngineLabeler
from truing.config.stages import HumanLabels, UnmarkedPairs
from truing.data.comparison import LeftOut, PreferenceSource
from truing.data.unmarked import stream_pairs
from truing.errors import GateClosed, TruingError
from truing.labeling.agreement import Gate
from truing.labeling.calibration import LogisticMap
from truing.records import Pair, Row, canonical_pair

UNMEASURED: dict[str, Any] = {
    "trust": [], "calibration": {}, "concordance": None, "asked": 0, "failed": 0, "passing": 0, "reused": 0,
    "unparsable": None,
    "reasons": ["There are no marked pairs (label.marked is null): how far to trust the labeler is not known."],
}  # fmt: skip
"""What is known of a labeler without marked pairs."""


def label(context: Context) -> None:
    """Measure, gate, label, store.

    Raises:
        GateClosed: the labeler misses its gate and `label.gate.on_failure` is `stop`; nothing else has been labelled.
    """
    study, run = context.study, context.run
    sampled = sample(context) if study.sample is not None and study.label.pairs is None else []
    headline("Label: the AI labeler, both orders")
    if (own := _own_model(context)) is not None:
        console.print(
            f"  note: the labeler ({own}) is the policy's own model, and models prefer what they wrote themselves"
        )
    key = _key(context, [row["id"] for row in sampled])
    saved = run.finished("label", key)
    # Once something is trained on the preferences, they stay as they are.
    homes = (run.path, *(run.path / ARMS / arm for arm in study.arms))
    trained = any((home / stage).exists() for home in homes for stage in ("reward_model", "dpo"))
    if saved is not None and (trained or not saved["passing"]):
        _show_trust(context, saved)
        _gate(context, saved)
        _show_preferences(context, saved)
        return
    write_json(run.path / "left_out.json", {name: one.left_out_rows() for name, one in _surveys(context).items()})
    folder = run.path / "labels"
    found, maps = _measured(context, folder / "marked")
    _show_trust(context, found)
    _gate(context, found)
    labelled: Consulted | None = None
    if study.label.pairs is not None or sampled:
        pairs = (
            partial(_file_pairs, study.label.pairs)
            if study.label.pairs
            else partial(_sampled, run.table("completions"))
        )
        labelled = consult(context, "labelling pairs", folder / "pairs", pairs, context.askings, study.label.max_failed)
    asked = [table(folder / "pairs", member) for member in context.members]
    counts = remotely(
        context, "writing preferences", write_preferences, run.table("preferences"), asked, folder / "pairs",
        study.labeler, context.labeler_id, context.askings, maps, marks.sources(study.label.marked),
    )  # fmt: skip
    passing = found["passing"] + (labelled.passing if labelled else 0)
    report = {**found, "passing": passing, "preferences": counts, "passes": _passes(labelled)}
    run.finish("label", key, report)
    _show_preferences(context, report)


def _measured(context: Context, folder: Path) -> tuple[dict[str, Any], dict[str, LogisticMap]]:
    """The labeler on the pairs that people marked: figures, and the calibration where one is wanted."""
    study, settings = context.study, context.study.label
    sources = marks.sources(settings.marked)
    if not sources:
        (context.run.path / "trust.json").unlink(missing_ok=True)
        return UNMEASURED, {}
    pairs = partial(marked_pairs, sources)
    done = consult(context, "labelling marked pairs", folder, pairs, context.askings, 1.0)
    marked = trust.marks([table(folder, member) for member in context.members])
    known = judgements(study.labeler, folder)
    whole = trust.measure(_name(sources[0]), "labeler", marked, known, context.askings, study.seed)
    if whole is None:
        raise TruingError(f"label: no marked pair was judged; the reasons are in {folder}")
    each = {member.name: stored(table(folder, member)) for member in context.members}
    entries = [whole]
    if len(each) > 1:
        found = (
            trust.measure(_name(sources[0]), name, marked, one, context.askings, study.seed)
            for name, one in each.items()
        )
        entries += [one for one in found if one is not None]
    maps: dict[str, LogisticMap] = {}
    before_after: dict[str, Any] = {}
    if settings.calibration is not None:
        for name, asking in context.askings.items():
            worth = trust.calibrated(marked, known, name, asking, settings.calibration, study.seed)
            if worth is None:
                raise TruingError(
                    f"label.calibration: {len(marked)} marked pairs are too few to fit and to test on; give more"
                    " (label.marked), or leave label.calibration out"
                )
            maps[name] = worth.map
            key = map_key(context, name)
            before_after[name] = {"map": worth.map.as_dict(), "key": key, "rows": worth.as_rows()}
    report = {
        "trust": [entry.as_json() for entry in entries],
        "calibration": before_after,
        "concordance": None if isinstance(study.labeler, Cascade) else trust.concordance(each, study.seed),
        "asked": done.asked,
        "failed": done.failed,
        "passing": done.passing,
        "reused": sum(done.reused.values()),
        "unparsable": max(done.unanswered.values()),
        "reasons": Gate(settings.gate.min_alignment, settings.gate.max_flip_rate, settings.gate.max_unparsable).reasons(
            whole.report, done.unanswered
        ),
    }
    write_json(context.run.path / "trust.json", report)
    return report, maps


def _own_model(context: Context) -> str | None:
    """The labeler that is the policy's own model, where it judges what that model wrote."""
    if context.study.sample is None or context.study.label.pairs is not None:
        return None
    for member in context.members:
        if isinstance(member.settings, EngineLabeler) and member.settings.model.path == context.start_folder:
            return member.name
    return None


def _surveys(context: Context) -> dict[str, marks.Survey]:
    """What was found in the files, by what is made of it."""
    return {"marked": context.survey} | ({"pairs": context.unmarked} if context.unmarked else {})


def _show_trust(context: Context, found: Mapping[str, Any]) -> None:
    if not found["trust"]:
        return
    note = f"{found['failed']} of {found['asked']} questions failed"
    note += f", {found['reused']} were answered in other runs" if found["reused"] else ""
    left_out = context.survey.note()
    trust.show("Trust in the labeler", found["trust"], f"{note}\nmarked pairs: {left_out}" if left_out else note)
    for name, one in found["calibration"].items():
        trust.show_calibration(name, one["rows"])


def _gate(context: Context, found: Mapping[str, Any]) -> None:
    """Say what the labeler misses, and stop before anything else is labelled, unless told to go on."""
    reasons: list[str] = found["reasons"]
    for reason in reasons:
        console.print(f"  gate: {reason}")
    if reasons and context.study.label.gate.on_failure == "stop":
        raise GateClosed(
            f"label: the labeler misses its gate ({reasons[0]}); give another labeler or templates, or set"
            " label.gate.on_failure=warn to train on its labels all the same"
        )
    if reasons:
        mixed = ", with marked pairs mixed in" if found["trust"] else ""
        console.print(f"  A real run would stop here. This one goes on (label.gate.on_failure is warn){mixed}.")


def marked_pairs(sources: tuple[HumanLabels, ...]) -> Iterator[tuple[Pair, Row]]:
    """Pairs that people marked, with their marks."""
    seen: set[str] = set()
    for question in marks.questions(sources):
        if question.pair.id not in seen:
            seen.add(question.pair.id)
            yield question.pair, {"human": question.human, "votes": list(question.votes), "source": question.source}


def _sampled(completions: Table) -> Iterator[tuple[Pair, Row]]:
    """Neighbouring completions of each prompt, in the order of their numbers; equal texts are no pair."""
    drawn = {row["id"] for row in requests(completions)}
    by_prompt: dict[str, list[Row]] = {}
    for row in completions.read(["id", "prompt_id", "prompt", "text", "domain", "sample"]):
        if row["id"] in drawn:
            by_prompt.setdefault(row["prompt_id"], []).append(row)
    for key in sorted(by_prompt):
        group = sorted(by_prompt[key], key=lambda row: row["sample"])
        for one, two in zip(group[::2], group[1::2], strict=False):
            if one["text"] != two["text"]:
                yield canonical_pair(one["prompt"], one["text"], two["text"], one["domain"])[0], {}


def _file_pairs(settings: UnmarkedPairs) -> Iterator[tuple[Pair, Row]]:
    """Pairs of a file; where there is a limit it is read twice, so that only ids are held."""
    source = PreferenceSource(settings.path, columns=settings.columns, domain=settings.domain)

    def pairs() -> Iterator[Pair]:
        return (item[1] for item in stream_pairs(source) if not isinstance(item, LeftOut))

    kept = None if settings.limit is None else marks.lowest((pair.id for pair in pairs()), settings.limit)
    for pair in pairs():
        if kept is None or pair.id in kept:
            yield pair, {}


def _name(labels: HumanLabels) -> str:
    return labels.name or Path(labels.path).name


def _key(context: Context, sampled: list[str]) -> str:
    """Identity of everything that the stage's result depends on."""
    study = context.study
    templates = {name: [asking.template(d).hash for d in context.domains] for name, asking in context.askings.items()}
    unmarked = context.unmarked.key if context.unmarked else ""
    settings = study.label.model_dump(mode="json", exclude={"batch", "max_failed", "reuse"})
    return context.key(
        "label", settings, context.labeler_id, templates, context.survey.key, unmarked, sampled, study.seed
    )


def _passes(labelled: Consulted | None) -> list[dict[str, Any]]:
    """What became of each single labeler's pass, for the run folder and the table."""
    if labelled is None:
        return []
    return [
        {
            "labeler": name, "asked": one.ledger.total, "answered": one.ledger.answered, "failed": one.ledger.failed,
            "same again": one.ledger.again, "retried": one.ledger.retried, "reused": labelled.reused[name],
            **asdict(one.usage), "reasons": one.reasons.most_common(3),
        }
        for name, one in labelled.passes.items()
    ]  # fmt: skip


def _show_preferences(context: Context, report: Mapping[str, Any]) -> None:
    names = ("labeler", "asked", "answered", "failed", "same again", "retried", "reused", "prompt_tokens", "cost")
    columns = [{"asked": "pairs asked", "prompt_tokens": "prompt tokens"}.get(name, name) for name in names]
    rows = [[one[name] for name in names] for one in report["passes"]]
    counts = report["preferences"]
    if report["passing"]:
        console.print(f"  {report['passing']} questions failed for a reason that may pass: run again to ask them")
    note = f"{counts['ai']} preferences by the labeler and {counts['marked']} by people stored"
    left_out = context.unmarked.note() if context.unmarked else ""
    note += f"\npairs to be labelled: {left_out}" if left_out else ""
    print_table("Labels", columns, rows, note)


if __name__ == "__main__":
    from jobs.cli import run_module

    run_module("label")
