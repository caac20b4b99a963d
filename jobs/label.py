"""Label: soft preferences by the AI labeler, and how far it can be trusted on pairs that people marked."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from actors.labeler import Labeler
from jobs.context import Context
from jobs.progress import console, headline, print_table
from jobs.sample import sample
from jobs.store import write_json
from jobs.sweep import Answer, sweep
from truing.errors import GateClosed, TruingError
from truing.labeling.agreement import Gate, Judged, TrustReport, trust_report
from truing.labeling.consensus import OrderedLogprobs, inverted, preference_from_orders
from truing.labeling.templates import Template
from truing.records import PREFERENCE_COLUMNS, Failed, Pair, Row, Unparsable, content_id


def pair_row(context: Context, source: str, prompt: str, first: str, second: str, domain: str, **more: Any) -> Row:
    """A question to the labeler. Its id holds everything that the answer depends on."""
    key = content_id("label", prompt, first, second, context.templates[domain].hash, context.judge_id)
    return {"id": key, "source": source, "prompt": prompt, "first": first, "second": second, "domain": domain, **more}


def questions(context: Context, completions: Sequence[Row]) -> list[Row]:
    """Neighbouring completions of each prompt as pairs, and the marked pairs in an order fixed by their ids."""
    by_prompt: dict[str, list[Row]] = {}
    for row in completions:
        by_prompt.setdefault(row["prompt_id"], []).append(row)
    rows = [
        pair_row(
            context,
            "ai",
            one["prompt"],
            one["text"],
            two["text"],
            one["domain"],
            marked_first=None,
            origin=one["prompt_id"],
        )
        for group in by_prompt.values()
        for one, two in zip(group[::2], group[1::2], strict=False)
        if one["text"] != two["text"]
    ]
    for pair in context.marked:
        chosen_first = int(content_id("order", pair["id"]), 16) % 2 == 0
        texts = (pair["chosen"], pair["rejected"]) if chosen_first else (pair["rejected"], pair["chosen"])
        rows.append(
            pair_row(
                context, "marked", pair["prompt"], *texts, pair["domain"], marked_first=chosen_first, origin=pair["id"]
            )
        )
    return rows


def answer(labeler: Labeler, rows: list[Row]) -> list[Answer]:
    """Raw label log-probs in both orders; a pair with a failed or unreadable order fails as a whole."""
    pairs = [Pair(row["id"], row["prompt"], row["first"], row["second"], row["domain"]) for row in rows]
    answers: list[Answer] = []
    for row, (ab, ba) in zip(rows, labeler.compare(pairs), strict=True):
        bad = next((verdict for verdict in (ab, ba) if isinstance(verdict, (Failed, Unparsable))), None)
        if bad is not None or not isinstance(ab, OrderedLogprobs) or not isinstance(ba, OrderedLogprobs):
            answers.append(bad or Failed("no verdict"))
            continue
        answers.append(row | {
            "logp_first_ab": ab.first, "logp_second_ab": ab.second, "logp_first_ba": ba.first, "logp_second_ba": ba.second,
        })  # fmt: skip
    return answers


def orders(row: Row) -> tuple[OrderedLogprobs, OrderedLogprobs]:
    """The stored log-probs of both orders."""
    return (
        OrderedLogprobs(row["logp_first_ab"], row["logp_second_ab"]),
        OrderedLogprobs(row["logp_first_ba"], row["logp_second_ba"]),
    )


def p_first(row: Row, template: Template) -> float:
    """P(first response preferred), both orders averaged; inverted where the template asks for the worse one."""
    p = preference_from_orders(*orders(row))
    return inverted(p) if template.asks_for == "worse" else p


def preference(context: Context, row: Row) -> Row:
    """A labelled pair as a row of the preference set."""
    template = context.templates[row["domain"]]
    p = p_first(row, template)
    chosen_first = p >= 0.5
    chosen, rejected = (row["first"], row["second"]) if chosen_first else (row["second"], row["first"])
    return {
        **{key: row[key] for key in ("id", "prompt", "domain", "source")},
        "chosen": chosen, "rejected": rejected, "p_chosen": p if chosen_first else 1 - p,
        "labeler": context.judge_id, "template": template.hash, "chosen_first": chosen_first,
        **{key: row[key] for key in ("logp_first_ab", "logp_second_ab", "logp_first_ba", "logp_second_ba")},
    }  # fmt: skip


def marked_preference(pair: Row) -> Row:
    """A pair that people marked, as a row of the preference set: certain, without log-probs."""
    known = {"prompt": pair["prompt"], "chosen": pair["chosen"], "rejected": pair["rejected"], "domain": pair["domain"]}
    row: Row = {
        **known,
        "id": content_id("marked", pair["id"]),
        "source": "marked",
        "p_chosen": 1.0,
        "labeler": "people",
    }
    return {column: row.get(column) for column in PREFERENCE_COLUMNS}


def trust(context: Context, labelled: Sequence[Row]) -> TrustReport:
    """How the labeler does on the marked pairs."""
    judged = []
    for row in labelled:
        template = context.templates[row["domain"]]
        ab, ba = orders(row)
        gap = len(row["first"]) - len(row["second"])
        judged.append(Judged(p_first(row, template), ab, ba, row["marked_first"], row["domain"], gap))
    return trust_report(judged, seed=context.study.seed)


def label(context: Context) -> list[Row]:
    """Sample, ask, measure, store. Returns the preference set.

    Raises:
        GateClosed: the labeler misses the gate and `label.gate.on_failure` is `stop`.
    """
    completions = sample(context)
    headline("Label: the AI labeler, both orders")
    study, settings = context.study, context.study.label
    rows = questions(context, completions)
    labelled = sweep(
        "labelling pairs",
        rows,
        context.run.table("labels"),
        partial(Labeler, context.judge_folder, settings.model, settings.engine, context.templates),
        answer,
        needs=context.needs(settings.engine),
        pool=context.pool(settings.engine),
        batch=settings.engine.batch,
        max_failed=settings.max_failed,
        connect=context.connect,
    )
    preferences = [preference(context, row) for row in labelled if row["source"] == "ai"]
    preferences += [marked_preference(pair) for pair in context.marked]
    table = context.run.table("preferences")
    stored = table.ids()
    table.append([row for row in preferences if row["id"] not in stored])

    marked = [row for row in labelled if row["source"] == "marked"]
    if not marked:
        raise TruingError(f"label: no marked pair was judged; the reasons are in {context.run.path / 'labels.dead'}")
    report = trust(context, marked)
    unparsable = 1 - len(labelled) / len(rows)
    gate = Gate(settings.gate.min_alignment, settings.gate.max_flip_rate, settings.gate.max_unparsable)
    reasons = gate.reasons(report, unparsable)
    _show(report, len(preferences) - len(context.marked), len(rows) - len(labelled))
    write_json(context.run.path / "trust.json", {"rows": report.as_rows(), "gate": reasons, "unparsable": unparsable})
    key = context.key([row["id"] for row in rows])
    context.run.finish(
        "label", key, {"trust": report, "gate": reasons, "pairs": len(labelled), "failed": len(rows) - len(labelled)}
    )
    for reason in reasons:
        console.print(f"  gate: {reason}")
    if reasons and study.label.gate.on_failure == "stop":
        raise GateClosed(
            f"label: the labeler misses its gate ({reasons[0]}); give another label.model or templates, or set"
            " label.gate.on_failure=warn to train on these labels all the same"
        )
    if reasons:
        console.print(
            "  A real run would stop here. This one goes on (label.gate.on_failure is warn), with marked pairs mixed in."
        )
    return preferences


def _show(report: TrustReport, pairs: int, failed: int) -> None:
    columns = (
        "marked pairs",
        "n",
        "agrees",
        "95 % interval",
        "flips",
        "same position",
        "which",
        "label mass",
        "entropy",
        "ECE",
    )
    rows = []
    for name, figures in {"all": report.overall, **report.by_domain}.items():
        first = figures.same_position_first
        which = None if first is None else f"first in {first.value:.0%}"
        interval = f"{figures.alignment.low:.2f} to {figures.alignment.high:.2f}"
        rows.append((
            name, figures.alignment.n, figures.alignment.value, interval, figures.flip_rate.value,
            figures.same_position_rate.value, which, figures.label_mass.value, figures.mean_entropy.value, figures.ece.value,
        ))  # fmt: skip
    note = f"{pairs} pairs labelled in both orders, {failed} failed"
    print_table("Trust in the labeler", columns, rows, note)
