"""The ways in which a labeler is asked: templates, styles and criteria, checked before anything is started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.marks import Survey, survey
from truing.config.labeling import Style
from truing.config.rewards import AiScorePart, RewardPart
from truing.config.stages import HumanLabels
from truing.config.study import Study
from truing.errors import ConfigError
from truing.labeling.asking import Asking
from truing.labeling.questions import comparison, explanation, grading
from truing.labeling.templates import load_template, template_for
from truing.records import Pair


def askings(
    templates: Sequence[Mapping[str, str]],
    styles: Sequence[Style],
    criteria: Sequence[str],
    domains: Sequence[str],
) -> dict[str, Asking]:
    """Every template in every style by every criterion, by a name that tells them apart.

    Raises:
        ConfigError: a domain without a template, a style or criterion that a template does not have, or one way twice.
    """
    found: dict[str, Asking] = {}
    for names in templates:
        loaded = {domain: load_template(template_for(dict(names), domain)) for domain in domains}
        for style in styles:
            for criterion in criteria:
                asking = Asking(loaded, style, criterion)
                _check(asking)
                name = asking.name if len(templates) == 1 else f"{'+'.join(sorted(set(names.values())))}: {asking.name}"
                if name in found:
                    raise ConfigError(f"the labeler is to be asked twice in the same way ({name}); leave one out")
                found[name] = asking
    return found


@dataclass(frozen=True)
class AskedSet:
    """One set of an agreement study: its name in tables and folders, what is in it, and the ways of asking about it."""

    name: str
    labels: HumanLabels
    survey: Survey
    askings: Mapping[str, Asking]


def asked_sets(study: Study) -> tuple[AskedSet, ...]:
    """The sets of the agreement study, each read once; none where the study has no such section.

    Raises:
        ConfigError: two sets of one name, a set that cannot be read, or what `askings` refuses.
    """
    settings, label = study.agreement, study.label
    if settings is None:
        return ()
    named: dict[str, HumanLabels] = {}
    for one in settings.sets:
        name = one.name or Path(one.path).name.split(".")[0]
        if name in named:
            raise ConfigError(
                f"agreement.sets: {named[name].path} and {one.path} are both called {name!r}; give each its own name"
                " (name: …)"
            )
        named[name] = one
    templates, styles = settings.templates or (label.templates,), settings.styles or (label.style,)
    found: list[AskedSet] = []
    for name, one in named.items():
        surveyed = survey([one])
        ways = askings(templates, styles, settings.criteria, surveyed.domains)
        found.append(AskedSet(name, one, surveyed, ways))
    return tuple(found)


def check_scores(rewards: Sequence[RewardPart]) -> None:
    """See that the template of each direct score can be asked for its criterion.

    Raises:
        ConfigError: there is no such template, it asks for no score, or it lacks the criterion.
    """
    for part in rewards:
        if isinstance(part, AiScorePart):
            template = load_template(part.template)
            grading(template, "A request.", "A response.", Style(), "1. A step.", part.criterion)


def _check(asking: Asking) -> None:
    """Render a question of each domain: what a template lacks shows now and not in a worker."""
    ask = explanation if asking.style.rationales else comparison
    for domain, template in asking.templates.items():
        ask(template, Pair("", "A request.", "One response.", "Another.", domain), asking.style, asking.criterion)
