"""What a judge is asked: a template, the texts to be judged and a style become chat turns (Lee et al., 2309.00267)."""

from dataclasses import dataclass

from truing.config.labeling import Style
from truing.data.chat import Turn
from truing.errors import ConfigError
from truing.labeling.fences import fenced
from truing.labeling.templates import Asks, Exemplar, Template
from truing.records import Pair

__all__ = [
    "Question", "Turn", "after_rationale", "comparison", "explanation", "grading", "incorporation", "steps_request",
    "style_key",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """Turns for a judge, and the labels whose likelihood is wanted.

    `turns` ends with a user turn, or with an assistant turn that the judge goes on from (its rationale). `answer` is
    what the assistant's turn says right before the label ("Preferred Response="). Where a reply is decoded, `answer` is
    "" and `labels` empty.
    """

    turns: tuple[Turn, ...]
    answer: str
    labels: tuple[str, ...]


def comparison(template: Template, pair: Pair, style: Style, criterion: str = "overall") -> Question:
    """Which of two responses: the label is read at once, or the whole reply decoded where the template says so.

    Raises:
        ConfigError: the style or the criterion asks for what the template does not have, or for a rationale (that is
            `explanation`).
    """
    _at_once(template, style, "better", "worse")
    return _asked(template, {"prompt": pair.prompt, "first": pair.first, "second": pair.second}, style, criterion)


def explanation(template: Template, pair: Pair, style: Style, criterion: str = "overall") -> Question:
    """Step one of chain of thought: the judge decodes why (section 2.1, "Chain-of-thought reasoning").

    Raises:
        ConfigError: as `comparison`; or the template has no part `# explain`.
    """
    _serves(template, "better", "worse")
    if not template.explain:
        raise ConfigError(
            f"template {template.name}: has no part `# explain`, and the style asks for {style.rationales} rationales; "
            "add the part, or set rationales to 0"
        )
    texts = {"prompt": pair.prompt, "first": pair.first, "second": pair.second}
    user = f"{template.filled(template.user, texts)}\n{template.about(template.explain, criterion)}"
    turns = (*_before(template, style, criterion, explained=True), Turn("user", user))
    return Question(turns, "", ())


def after_rationale(question: Question, rationale: str, template: Template) -> Question:
    """Step two: the judge's turn so far is its rationale, and the label is read behind the template's answer.

    What the judge wrote from the answer on is cut off: the label is read, not copied from its own guess. An empty
    rationale leaves nothing to go on from.
    """
    reason = fenced(rationale).partition(template.answer)[0].strip()
    turns = (*question.turns, Turn("assistant", f"{reason}\n\n")) if reason else question.turns
    return Question(turns, template.answer, template.labels)


def grading(
    template: Template, prompt: str, response: str, style: Style, steps: str = "", criterion: str = "overall"
) -> Question:
    """How good one response is (direct RLAIF, section 2.2.2; G-Eval with `steps`; single-answer grading).

    Raises:
        ConfigError: as `comparison`; or the template shows evaluation steps and none are given.
    """
    _at_once(template, style, "score")
    return _asked(template, {"prompt": prompt, "first": response, "steps": steps}, style, criterion)


def incorporation(template: Template, prompt: str, before: str, feedback: str, after: str, style: Style) -> Question:
    """Does `after` do what `feedback` asked of `before` (Scheurer et al., ILF)?

    Raises:
        ConfigError: as `comparison`.
    """
    _at_once(template, style, "yes")
    texts = {"prompt": prompt, "first": before, "feedback": feedback, "second": after}
    return _asked(template, texts, style, "overall")


def steps_request(template: Template, criterion: str = "overall") -> Question:
    """The request that makes a judge write its evaluation steps, once, for `grading` (Liu et al., G-Eval).

    Raises:
        ConfigError: the template has no part `# steps`.
    """
    if not template.steps:
        raise ConfigError(f"template {template.name}: has no part `# steps`; add it, or grade without steps")
    return Question((Turn("user", template.about(template.steps, criterion)),), "", ())


def style_key(style: Style) -> dict[str, str | int | float]:
    """What an answer depends on, for its id: how rationales are decoded is left out where there are none."""
    key: dict[str, str | int | float] = {"preamble": style.preamble, "exemplars": style.exemplars}
    if style.rationales:
        key |= {
            "rationales": style.rationales,
            "rationale_tokens": style.rationale_tokens,
            "temperature": style.temperature,
        }
    return key


def _serves(template: Template, *asks_for: Asks) -> None:
    if template.asks_for not in asks_for:
        raise ConfigError(
            f"template {template.name}: asks for {template.asks_for}; here one is needed that asks for "
            f"{' or '.join(asks_for)}"
        )


def _at_once(template: Template, style: Style, *asks_for: Asks) -> None:
    _serves(template, *asks_for)
    if style.rationales:
        raise ConfigError(
            f"template {template.name}: the style asks for {style.rationales} rationales and the label is read at once "
            "here; set rationales to 0"
        )


def _asked(template: Template, texts: dict[str, str], style: Style, criterion: str) -> Question:
    user = f"{template.filled(template.user, texts)}\n{template.about(template.question, criterion)}"
    before = _before(template, style, criterion, explained=False, steps=texts.get("steps", ""))
    labels = template.labels if template.read == "likelihood" else ()
    return Question((*before, Turn("user", user)), template.answer, labels)


def _before(template: Template, style: Style, criterion: str, *, explained: bool, steps: str = "") -> tuple[Turn, ...]:
    """The preamble, then the exemplars as whole turns: no text inside a fence can pass for one."""
    if style.exemplars > len(template.exemplars):
        raise ConfigError(
            f"template {template.name}: has {len(template.exemplars)} exemplars and the style asks for "
            f"{style.exemplars}; add some to its header, or set exemplars to {len(template.exemplars)}"
        )
    if style.exemplars and criterion != "overall":
        raise ConfigError(
            f"template {template.name}: its exemplars are answered for 'overall', not {criterion!r}; "
            "set exemplars to 0 for other criteria"
        )
    preamble = template.detailed if style.preamble == "detailed" else template.base
    if not preamble:
        raise ConfigError(
            f"template {template.name}: has no part `# detailed`; add it, or set preamble to base in the style"
        )
    turns = [Turn("system", template.filled(preamble, {"steps": steps}))]
    for exemplar in template.exemplars[: style.exemplars]:
        turns += _exemplar(template, exemplar, criterion, explained=explained, steps=steps)
    return tuple(turns)


def _exemplar(
    template: Template, exemplar: Exemplar, criterion: str, *, explained: bool, steps: str
) -> tuple[Turn, Turn]:
    texts = exemplar.texts | {"steps": steps}
    asked = template.about(template.explain if explained else template.question, criterion)
    if explained and not exemplar.rationale:
        raise ConfigError(
            f"template {template.name}: an exemplar has no `rationale`, and the style asks for rationales; write one"
        )
    reason = f"{exemplar.rationale}\n\n" if explained else ""
    return (
        Turn("user", f"{template.filled(template.user, texts)}\n{asked}"),
        Turn("assistant", f"{reason}{template.answer}{exemplar.answer}"),
    )
