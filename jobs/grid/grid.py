"""The evaluation grid: policies × data sets × temperatures × wordings × metrics, as Ray Data passes over engine pools.

What a policy wrote and what a model said of it is stored under the hash of its question: a policy or a metric that is
added costs itself alone, and a run that was stopped goes on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobs.context import Context
from jobs.grading import Graders
from jobs.grid.checks import answer_scores, check_scores, instruction_scores
from jobs.grid.choices import bridge_to, choice_scores_of
from jobs.grid.data import Question, load_choice_set, load_prompt_set
from jobs.grid.feedback import feedback_scores
from jobs.grid.outputs import HOME, Cell, best_of, draw, own, recorded_outputs, seconds_of
from jobs.grid.policies import Contestant, baseline_of, contestants
from jobs.grid.samples import samples
from jobs.grid.scores import (
    Field,
    classifier_scores,
    direct_scores,
    divergence_scores,
    embedded_scores,
    inference_scores,
    overlap_scores,
    reward_scores,
    rewards_of,
    text_scores,
    win_scores,
)
from jobs.grid.sheet import Sheet
from jobs.grid.show import show
from jobs.grid.split import parted
from jobs.grid.store import write_grid
from jobs.progress import headline
from truing.config.grid import BestOf, ChoiceSet, GridData, OutputFile, PromptSet, StudyPrompts
from truing.config.grid import Grid as Settings
from truing.config.grid_metrics import (
    Bert,
    Checks,
    Classifier,
    DirectScore,
    Divergence,
    Feedback,
    FinalAnswer,
    Instructions,
    Nli,
    SentenceBert,
    TextMetrics,
    WinRate,
)
from truing.config.rewards import FinishedPart, RewardPart
from truing.errors import ConfigError
from truing.evaluation.figure import Score
from truing.evaluation.grid_figures import by_wording, grid_figures
from truing.report import grid_contents
from truing.report.grid_alarms import alarms


@dataclass(frozen=True)
class Asked:
    """The questions of one data set."""

    name: str
    shift: str
    settings: GridData
    questions: list[Question]


def grid(context: Context, settings: Settings) -> grid_contents.Grid:
    """Write, grade, count; scores, figures and what the page shows go to `evaluation/grid` of the run.

    Raises:
        ConfigError: before anything is started: a policy, a data set or a model that is not there.
        TruingError: too much failed; what is done is kept.
    """
    headline("Evaluation grid")
    policies, sets = contestants(context, settings), data_sets(context, settings)
    baseline = baseline_of(settings, policies)
    policy = context.study.policy
    graders = Graders(context, settings.scorer, policy.learner.precision if policy else "bfloat16", HOME)
    field = Field(graders, policies, baseline)
    parts = reward_parts(context, settings)
    sheet, rewards = outputs(context, settings, field, sets, parts)
    asked = settings.metrics if sheet.answers else ()
    scores = [score for metric in asked for score in MEASURES[type(metric)](sheet, field, metric)]
    scores = reward_scores(sheet, parts, rewards) + scores
    scores += choices(context, settings, policies, sets)
    found = contents(context, settings, field, sets, sheet, scores)
    write_grid(context.run, {one.name: one.questions for one in sets}, sheet, scores, found)
    show(found)
    return found


def data_sets(context: Context, settings: Settings) -> list[Asked]:
    """Every data set with its questions; the study's own prompts are a set for each split."""
    found: list[Asked] = []
    for data in settings.data:
        if isinstance(data, StudyPrompts):
            if not context.evaluation:
                raise ConfigError(
                    "evaluate: there is no held-out and no shifted prompt; raise prompts.holdout or give prompts with a split"
                )
            for split in dict.fromkeys(prompt.split for prompt in context.evaluation):
                some = [one for one in context.evaluation if one.split == split]
                asked = [Question(one.id, "", one.text, (), one.domain) for one in some]
                found.append(Asked(split, split, data, asked))
        elif isinstance(data, PromptSet):
            found += _prompt_sets(data)
        else:
            found.append(Asked(data.name, data.shift, data, load_choice_set(data)))
    return found


def _prompt_sets(data: PromptSet) -> list[Asked]:
    questions = load_prompt_set(data)
    if data.split is None:
        return [Asked(data.name, data.shift, data, questions)]
    inside, outside = parted(questions, data.split, data.name)
    kind = data.split.kind
    return [Asked(data.name, data.shift, data, inside), Asked(f"{data.name}, {kind}", kind, data, outside)]


def reward_parts(context: Context, settings: Settings) -> Sequence[RewardPart]:
    """The grid's own reward graph, or that of the study's policy."""
    policy = context.study.policy
    if settings.rewards is not None:
        return settings.rewards
    return policy.rewards if policy else (FinishedPart(),)


def outputs(
    context: Context, settings: Settings, field: Field, sets: Sequence[Asked], parts: Sequence[RewardPart]
) -> tuple[Sheet, Mapping[str, Mapping[str, float]]]:
    """K outputs of every policy, and the reward of all that were drawn."""
    asked = {one.name: one.questions for one in sets if not isinstance(one.settings, ChoiceSet)}
    if not asked:
        return Sheet({}, {}), {}
    drawn: dict[str, dict[Cell, dict[str, list[Any]]]] = {}
    for policy in field.policies:
        if isinstance(policy.settings, OutputFile):
            drawn[policy.name] = recorded_outputs(policy.settings, asked)
        elif not isinstance(policy.settings, BestOf):
            drawn[policy.name] = draw(context, settings, policy, asked)
    rewards = rewards_of(field, parts, Sheet(asked, drawn).rows())
    totals = {key: scores["total"] for key, scores in rewards.items() if "total" in scores}
    answers: dict[str, dict[Cell, dict[str, list[Any]]]] = {}
    for policy in field.policies:
        if isinstance(policy.settings, BestOf):
            answers[policy.name] = best_of(policy.settings, drawn[policy.settings.of], totals, settings.completions)
        else:
            cells = drawn[policy.name].items()
            answers[policy.name] = {cell: own(by_question, settings.completions) for cell, by_question in cells}
    return Sheet(asked, answers), rewards


MEASURES: Mapping[type, Callable[[Sheet, Field, Any], list[Score]]] = {
    TextMetrics: text_scores,
    SentenceBert: embedded_scores,
    Nli: inference_scores,
    Classifier: classifier_scores,
    Bert: overlap_scores,
    WinRate: win_scores,
    DirectScore: direct_scores,
    Feedback: feedback_scores,
    Divergence: divergence_scores,
    Checks: check_scores,
    Instructions: instruction_scores,
    FinalAnswer: answer_scores,
}
"""What measures each kind of metric."""


def choices(context: Context, settings: Settings, policies: Sequence[Contestant], sets: Sequence[Asked]) -> list[Score]:
    """Rank classification by every policy that has a model here."""
    found: list[Score] = []
    for policy in policies:
        own = [one for one in sets if isinstance(one.settings, ChoiceSet) and policy.folder]
        if own:
            bridge = bridge_to(context, policy, settings.engine)
            for one in own:
                assert isinstance(one.settings, ChoiceSet)
                found += choice_scores_of(bridge, policy.name, one.settings, one.questions)
    return found


def contents(
    context: Context, settings: Settings, field: Field, sets: Sequence[Asked], sheet: Sheet, scores: list[Score]
) -> grid_contents.Grid:
    """What the page shows, its alarms among it."""
    seed, base = context.study.seed, field.baseline.name
    shifts = {one.name: one.shift for one in sets}
    top = {one.name: one.settings.top for one in sets if isinstance(one.settings, ChoiceSet)}
    against = {policy.name: base for policy in field.policies if policy.name != base}
    spent = seconds_of(context)
    found = grid_contents.Grid(
        policies=tuple(_policy(policy, sheet, spent) for policy in field.policies),
        data=tuple(
            grid_contents.GridData(one.name, one.shift, len({question.item for question in one.questions}))
            for one in sets
        ),
        temperatures=tuple(dict.fromkeys(score.temperature for score in scores)),
        completions=settings.completions,
        baseline=base,
        figures=tuple(grid_figures(scores, shifts, against, top, seed)),
        wordings=tuple(_wordings(scores, shifts)),
        samples=tuple(samples(sheet, scores, shifts)),
    )
    return replace(found, alarms=alarms(found))


def _policy(policy: Contestant, sheet: Sheet, spent: Mapping[str, float]) -> grid_contents.GridPolicy:
    made_of = policy.settings if isinstance(policy.settings, BestOf) else None
    rows = [
        row
        for by_question in sheet.answers.get(policy.name, {}).values()
        for some in by_question.values()
        for row in some
    ]
    kind = "model" if policy.settings.kind == "study" else policy.settings.kind
    return grid_contents.GridPolicy(
        name=policy.name,
        kind="recorded" if kind == "outputs" else kind,
        best_of=None if made_of is None else (made_of.n, made_of.of),
        seconds=spent.get(policy.id),
        outputs=len(rows),
        tokens=sum(len(row["tokens"]) for row in rows),
    )


def _wordings(scores: Sequence[Score], shifts: Mapping[str, str]) -> list[grid_contents.WordingAccuracies]:
    found: list[grid_contents.WordingAccuracies] = []
    for data in shifts:
        own = [score for score in scores if score.data == data and score.metric.startswith("accuracy")]
        for policy, metric in dict.fromkeys((score.policy, score.metric) for score in own):
            hits = by_wording(own, policy, metric)
            n = len(next(iter(hits.values()), []))
            if len(hits) > 1 and n:
                means = tuple(sum(some) / n for some in hits.values())
                found.append(grid_contents.WordingAccuracies(policy, data, metric, tuple(hits), means, n))
    return found
