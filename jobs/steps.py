"""G-Eval's evaluation steps: written once by the labeler, kept in the run folder, the same ever after (2303.16634)."""

from functools import partial

from actors.group import ActorGroup
from actors.labeler import Labeler
from actors.labelers import open_labeler
from jobs.context import Context
from jobs.labelers import member, online, spent
from jobs.store import write_text
from trainers.roles import labeler_needs
from truing.config.rewards import AiScorePart
from truing.errors import TruingError
from truing.labeling.templates import load_template


def evaluation_steps(context: Context, part: AiScorePart) -> str:
    """The steps that a score's template shows; "" where it shows none.

    They stand in `steps/` of the run folder, where they may be read, and edited before the first score is given.

    Raises:
        TruingError: the labeler did not write any, or the folder cannot be written.
    """
    template = load_template(part.template)
    if not template.steps:
        return ""
    settings = online(part.labeler or context.study.labeler, "policy.rewards: ai_score")
    labeler = member(settings).id
    name = "-".join([template.name, *([part.criterion] if part.criterion != "overall" else []), template.hash, labeler])
    path = context.run.path / "steps" / f"{name}.txt"
    if path.exists():
        return path.read_text(encoding="utf-8")
    context.connect()
    needs = labeler_needs(settings, context.study.cluster)
    make = partial(open_labeler, settings, spent(context.run.path, labeler))
    group = ActorGroup.stateless("labeler", 1, make, needs).ready()
    try:
        found = group.first(Labeler.steps, template, part.criterion)
    finally:
        group.close()
    if not isinstance(found, str) or not found.strip():
        raise TruingError(f"template {template.name}: the labeler wrote no evaluation steps ({found!r}); write {path}")
    write_text(path, found.strip())
    return found.strip()
