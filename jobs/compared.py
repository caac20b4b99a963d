"""The preferences that reward model and direct preference learn from and are tested on, by prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.context import Context
from jobs.preferences import human_rows
from jobs.store import RunFolder
from truing.config.training import LabelSource, Preferences
from truing.data.judged import Comparisons, Source, by_prompt
from truing.errors import ConfigError
from truing.records import Row, content_id

READ = ("prompt", "chosen", "rejected", "p_chosen", "weight", "strength", "source", "domain")
"""What a preference says, beside who said it."""


@dataclass(frozen=True)
class Compared:
    """All prompts with their comparisons: the first `training` are trained on, the others test. `rows` are the same ones."""

    prompts: list[Comparisons]
    training: int
    rows: tuple[list[Row], list[Row]]

    @property
    def held_out(self) -> list[int]:
        """Positions of the prompts that test."""
        return list(range(self.training, len(self.prompts)))

    def seen(self, updates: Sequence[Sequence[int]]) -> dict[str, int]:
        """How many of the training prompts, and pairs of them, these updates have learned from."""
        used = {at for batch in updates for at in batch}
        return {"training_prompts": len(used), "training_pairs": sum(len(self.prompts[at].judged) for at in used)}

    @property
    def responses(self) -> list[str]:
        """All that are learned from or tested on."""
        return [response for one in self.prompts for response in one.responses]

    @property
    def content(self) -> list[list[object]]:
        """What is learned from and tested on, those to train on first: a label that changes, changes it."""
        return [[row[name] for name in READ] for some in self.rows for row in some]


def compared(context: Context, settings: Preferences, stage: str, margin: float = 0.0) -> Compared:
    """Read, split, and put together what a section names.

    Raises:
        ConfigError: there is nothing, a source that is not there is named, or there is too little for a batch.
    """
    training, test = split_rows(preference_rows(context, settings, stage), settings.sources)
    prompts, count = comparisons(training, test, settings, margin)
    if count < settings.batch:
        raise ConfigError(f"{stage}: {count} training prompts for a batch of {settings.batch}; label more pairs")
    return Compared(prompts, count, (training, test))


def preference_rows(context: Context, settings: Preferences, stage: str) -> list[Row]:
    """What `truing label` stored, and the human sets that the section names.

    Raises:
        ConfigError: there is neither.
    """
    folders = [context.run, *(RunFolder(Path(path)) for path in settings.earlier)]
    stored = {row["id"]: row for folder in folders for row in folder.table("preferences").rows()}
    rows = [*stored.values(), *human_rows(settings.data)]
    if not rows:
        raise ConfigError(
            f"{stage}: {context.run.path} holds no preferences to train on; run `truing label` with this configuration"
            f" first, or name a set of human labels in {stage}.data"
        )
    names = {row["source"] for row in rows}
    if unknown := sorted(set(settings.sources) - names):
        raise ConfigError(
            f"{stage}.sources names {unknown[0]!r} and no preference is of that source; there are {', '.join(sorted(names))}"
        )
    return rows


def split_rows(rows: Sequence[Row], sources: Mapping[str, LabelSource]) -> tuple[list[Row], list[Row]]:
    """(training, test) preferences. Of each source, the prompts that hash lowest are tested; nothing else of a tested prompt
    is trained on, whatever its source."""
    tested: set[tuple[str, str]] = set()
    for source in sorted({row["source"] for row in rows}):
        prompts = sorted(
            {row["prompt"] for row in rows if row["source"] == source}, key=lambda p: content_id("split", p)
        )
        held = round(sources.get(source, LabelSource()).holdout * len(prompts))
        tested |= {(source, prompt) for prompt in prompts[:held]}
    prompts = {prompt for _, prompt in tested}
    test = [row for row in rows if (row["source"], row["prompt"]) in tested]
    return [row for row in rows if row["prompt"] not in prompts], test


def comparisons(
    training: Sequence[Row], test: Sequence[Row], settings: Preferences, margin: float
) -> tuple[list[Comparisons], int]:
    """All prompts with their comparisons, those to train on first, and how many these are."""
    sources = {name: Source(one.weight, one.temperature) for name, one in settings.sources.items()}
    trained = [one for one in by_prompt(training, sources, margin) if one.weight > 0]
    # What is tested is the label as it stands: neither weighted, nor made hard or soft.
    return [*trained, *by_prompt(test, {}, margin)], len(trained)
