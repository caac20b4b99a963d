"""Which engines a study starts: one of each model is tried."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from truing.config.grid_metrics import DirectScore, Feedback, WinRate
from truing.config.labeling import EngineLabeler
from truing.config.load import ways
from truing.config.rewards import AiScorePart
from truing.config.roles import Engine, Model, NodeRole
from truing.config.study import Study


@dataclass(frozen=True, slots=True)
class Tried:
    """An engine by its configuration key, with its model."""

    key: str
    model: Model
    engine: Engine
    node: NodeRole


def tried(study: Study) -> list[Tried]:
    """The engine that samples the policy, and one of each other model that labels."""
    done = ways(study).values()
    found = [Tried(*one, "rollout") for way in done for one in _samplers(way)][:1]
    for way in done:
        for key, part in _parts("", way):
            if isinstance(part, EngineLabeler) and (key.partition(".")[0] != "labeler" or asks_labeler(way)):
                found.append(Tried(f"{key}.engine", part.model, part.engine, "labeler"))
    first = {(one.model.path, one.model.revision): one for one in reversed(found)}
    return [one for one in found if first[one.model.path, one.model.revision] is one]


def _samplers(study: Study) -> Iterator[tuple[str, Model, Engine]]:
    if study.policy:
        yield "policy.engine", study.model, study.policy.engine
    if study.sample and study.label.pairs is None:
        yield "sample.engine", study.model, study.sample.engine
    if study.rejection:
        yield "rejection.engine", study.model, study.rejection.engine
    if study.sft and study.sft.generate:
        yield "sft.generate.engine", study.model, study.sft.generate.engine
    if study.evaluate and study.evaluate.grid:
        yield "evaluate.grid.engine", study.model, study.evaluate.grid.engine


def asks_labeler(study: Study) -> bool:
    """Whether anything of the study asks its own labeler."""
    if study.sample or study.label.pairs or study.agreement:
        return True
    parts = [part for _, part in _parts("", study)]
    scores = [one for one in parts if isinstance(one, AiScorePart | DirectScore | Feedback)]
    return any(one.labeler is None for one in scores) or any(isinstance(one, WinRate) for one in parts)


def _parts(key: str, part: object) -> Iterator[tuple[str, object]]:
    """Every section of a configuration, by its dotted key."""
    if isinstance(part, BaseModel):
        yield key, part
        for name in type(part).model_fields:
            yield from _parts(f"{key}.{name}".lstrip("."), getattr(part, name))
    elif isinstance(part, tuple):
        for i, one in enumerate(part):
            yield from _parts(f"{key}.{i}", one)
