"""Supervised fine-tuning. L = -Σ_t log π(y_t | x, y_<t) / tokens, over the answers' tokens alone.

Plain demonstrations, a mixture of tasks in instruction templates (FLAN, Wei et al., arXiv 2109.01652), or one task whose
prompt is changed as training goes (PAFT, Wei et al., arXiv 2502.12859, algorithm 1): which of them it is, and in which
wording a demonstration is shown, is the stream's affair.
"""

from collections.abc import Sequence

from actors.group import ActorGroup
from actors.supervised import Asked, SupervisedLearner
from trainers.looks import Looks
from trainers.run import Run
from truing.config.training import Passes
from truing.data.supervised_stream import ExampleStream
from truing.errors import TruingError
from truing.evaluation.rank_classification import pick


def updates(count: int, epochs: int, settings: Passes) -> int:
    """Updates of a whole training; the last one goes on into what would be the next epoch."""
    whole = -(-count * epochs // settings.batch)
    return whole if settings.steps is None else min(whole, settings.steps)


def train(
    run: Run,
    group: ActorGroup[SupervisedLearner],
    stream: ExampleStream,
    held: Sequence[Asked],
    looks: Looks,
    steps: int,
    batch: int,
) -> None:
    """Show the next demonstrations, look at the held-out ones, report."""
    for step in run.steps(steps):
        # 1. Draw: the next demonstrations, each in the wording that is its turn.
        asked: list[Asked] = [(int(key), number) for key, number in stream.take(batch)]

        # 2. Update.
        with run.time("update"):
            loss, norm = group.scatter(SupervisedLearner.update, asked).get()[0]
        figures: dict[str, float] = {"loss": loss, "grad_norm": norm}

        # 3. Look.
        if held and looks.due(step):
            with run.time("look"):
                figures["held_out_loss"] = held_out_loss(group, held)
            looks.saw(run, figures["held_out_loss"])

        # 4. Report.
        run.report(**figures)


def held_out_loss(group: ActorGroup[SupervisedLearner], held: Sequence[Asked]) -> float:
    """Nats an answer token, over all held-out demonstrations."""
    found = group.scatter(SupervisedLearner.losses, held).get()
    return sum(loss for loss, _ in found) / sum(tokens for _, tokens in found)


def right(group: ActorGroup[SupervisedLearner], asked: Sequence[Asked], answers: Sequence[int]) -> list[float]:
    """1 where the right answer has the highest likelihood of those that could be given (rank classification, FLAN §2.3).

    Raises:
        TruingError: the likelihoods of a demonstration cannot be ranked: one is NaN or infinite, or all are 0.
    """
    found = group.scatter(SupervisedLearner.choices, asked).get()
    picked = [pick(scores) for scores in found]
    lost = [number for number, choice in enumerate(picked) if choice is None]
    if lost:
        raise TruingError(
            f"sft: {len(lost)} of {len(asked)} demonstrations have choices that cannot be ranked, the first of them with"
            f" log-likelihoods {found[lost[0]]}; give a model without broken weights, or lower learning_rate"
        )
    return [float(choice == answer) for choice, answer in zip(picked, answers, strict=True)]
