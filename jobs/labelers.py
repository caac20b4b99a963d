"""The labelers that a configuration names: who they are, how one is started, and what it is asked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors.labeler import Labeler
from actors.labelers import Online, open_any, used
from actors.recorded import RecordedVerdicts
from jobs.models import file_fingerprint, fingerprint, model_folder
from jobs.sweep import Answer, Pool
from trainers.roles import labeler_needs
from truing.config.labeling import Cascade, EndpointLabeler, EngineLabeler, Ensemble, SingleLabeler
from truing.config.labeling import Labeler as LabelerSettings
from truing.config.roles import Cluster
from truing.errors import ConfigError
from truing.labeling.asking import Asking, Judgement
from truing.records import Pair, Row, content_id

LABELS = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "pair", "prompt", "first", "second", "domain", "asking", "criterion")),
        *((name, pa.string()) for name in ("template", "labeler")),
        ("logp_first_ab", pa.float64()), ("logp_second_ab", pa.float64()),
        ("logp_first_ba", pa.float64()), ("logp_second_ba", pa.float64()),
        ("both_orders", pa.bool_()),
        ("rationales_ab", pa.list_(pa.string())), ("rationales_ba", pa.list_(pa.string())),
    ]
)  # fmt: skip
"""A label: the pair in the order in which it is stored, how it was asked, and the raw log-probs of both orders."""


@dataclass(frozen=True)
class Member:
    """One labeler: its settings, what identifies its answers, and a short name for tables."""

    settings: SingleLabeler
    id: str
    name: str


def members(settings: LabelerSettings) -> tuple[Member, ...]:
    """The single labelers of a configuration, in order; those that have the same name are told apart by their number.

    Raises:
        ConfigError: a model's folder, or a file of recorded verdicts, that is not there; the same labeler twice.
    """
    if isinstance(settings, Ensemble):
        found = [member(one) for one in settings.members]
    elif isinstance(settings, Cascade):
        found = [member(settings.first), member(settings.second)]
    else:
        found = [member(settings)]
    ids, names = Counter(one.id for one in found), Counter(one.name for one in found)
    for one in found:
        if ids[one.id] > 1:
            raise ConfigError(
                f"labeler: the {settings.kind} has {one.name} twice, and both would give the same answers; leave one out"
            )
    return tuple(
        replace(one, name=f"{one.name} ({n})") if names[one.name] > 1 else one for n, one in enumerate(found, 1)
    )


def member(settings: SingleLabeler) -> Member:
    """One labeler. Its id holds all that its answers depend on, besides the question. Raises ConfigError as `members`."""
    if isinstance(settings, EngineLabeler):
        model = settings.model
        weights = fingerprint(model_folder(model.path, model.revision))
        identity = content_id(weights, model.context, settings.engine.dtype)
        return Member(_resolved(settings), identity, model.path)
    if isinstance(settings, EndpointLabeler):
        read = [settings.read, settings.samples] if settings.read == "samples" else [settings.read]
        return Member(settings, content_id("endpoint", settings.url, settings.model, *read), settings.model)
    identity = content_id("recorded", file_fingerprint(settings.path), settings.verdict, settings.coding)
    return Member(settings, identity, settings.verdict)


def online(settings: LabelerSettings, what: str) -> Online:
    """The one labeler that can be asked while something else waits for it, its model's folder resolved.

    Raises:
        ConfigError: it is an ensemble, a cascade, or recorded.
    """
    if isinstance(settings, EngineLabeler | EndpointLabeler):
        return _resolved(settings)
    raise ConfigError(f"{what}: needs one engine or endpoint, and the labeler is {settings.kind}; name one there")


def _resolved(settings: Online) -> Online:
    """The same with its model's folder in the place of `demo`, and the revision beside a Hub name."""
    if isinstance(settings, EndpointLabeler):
        return settings
    named = settings.model
    model = named.model_copy(update={"path": model_folder(named.path, named.revision)})
    return settings.model_copy(update={"model": model})


def workers(settings: SingleLabeler) -> tuple[int, int]:
    """Fewest and most workers of an offline pass."""
    if isinstance(settings, EngineLabeler):
        least = settings.engine.count
        return least, max(least, settings.engine.max_count or least)
    return 1, 1


def spent(run: Path, labeler: str) -> Path:
    """Folder of what a run has spent on a labeler, in all its passes, trainers and servers."""
    return (run / "spent" / labeler).resolve()


def pool(
    member: Member, cluster: Cluster, answer: Any, batch: int, schema: Any = None, spent: Path | None = None
) -> Pool:
    """An offline pass's workers of one labeler. `spent`: see `open_labeler`."""
    least, most = workers(member.settings)
    opened = partial(open_any, member.settings, spent)
    return Pool(opened, answer, labeler_needs(member.settings, cluster), least, most, batch, used, schema)


def request(pair: Pair, asking: Asking, name: str, labeler: str, **more: Any) -> Row:
    """A question to a labeler, about a pair in its canonical order. Its id holds everything that the answer depends on."""
    return {
        "id": asking.id(pair, labeler), "pair": pair.id, "prompt": pair.prompt, "first": pair.first,
        "second": pair.second, "domain": pair.domain, "asking": name, "labeler": labeler, **more,
    }  # fmt: skip


def compare(labeler: Labeler | RecordedVerdicts, rows: list[Row], *, askings: Mapping[str, Asking]) -> list[Answer]:
    """Labels for requests, which may be asked in different ways."""
    pairs = [Pair(row["pair"], row["prompt"], row["first"], row["second"], row["domain"]) for row in rows]
    ways = [askings[row["asking"]] for row in rows]
    found = labeler.compare(list(zip(pairs, ways, strict=True)))
    return [
        label_row(row, asking, one) if isinstance(one, Judgement) else one
        for row, asking, one in zip(rows, ways, found, strict=True)
    ]


def label_row(row: Row, asking: Asking, found: Judgement) -> Row:
    """A label as it is stored."""
    return {
        **{key: row[key] for key in ("id", "pair", "prompt", "first", "second", "domain", "asking", "labeler")},
        "criterion": asking.criterion,
        "template": asking.template(row["domain"]).hash,
        "logp_first_ab": found.ab.first, "logp_second_ab": found.ab.second,
        "logp_first_ba": found.ba.first, "logp_second_ba": found.ba.second,
        "both_orders": found.both_orders,
        "rationales_ab": list(found.rationales_ab), "rationales_ba": list(found.rationales_ba),
    }  # fmt: skip
