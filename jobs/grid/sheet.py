"""All the outputs of a grid, laid out: who answered which question, where, and how."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.grid.data import Question, key_of
from jobs.grid.outputs import Cell, Outputs
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import NO_OUTPUT, Output
from truing.records import Row


@dataclass(frozen=True)
class Place:
    """One policy's outputs to one question in one cell."""

    policy: str
    cell: Cell
    question: Question
    rows: Sequence[Row]

    def score(self, metric: str, value: float | None, reason: str, against: str = "") -> Score:
        """The score of one of its outputs."""
        where = (self.policy, self.cell.data, self.question.wording, self.question.item, against)
        return Score(*where, metric, value, "" if value is not None else reason, self.cell.temperature)


@dataclass(frozen=True)
class Sheet:
    """Questions by data set; outputs by policy and cell. Of a policy that has a cell, a question without outputs is missing."""

    asked: Mapping[str, Sequence[Question]]
    answers: Mapping[str, Mapping[Cell, Outputs]]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, data set by data set."""
        found = dict.fromkeys(cell for by_cell in self.answers.values() for cell in by_cell)
        order = list(self.asked)
        return sorted(
            found, key=lambda cell: (order.index(cell.data), cell.temperature is None, cell.temperature or 0.0)
        )

    def places(self) -> Iterator[Place]:
        """Everyone's outputs to every question; without rows where they are missing."""
        for policy, by_cell in self.answers.items():
            for cell, outputs in by_cell.items():
                for question in self.asked[cell.data]:
                    yield Place(policy, cell, question, outputs.get(key_of(question), ()))

    def rows(self) -> list[Row]:
        """Every output once."""
        return list({row["id"]: row for place in self.places() for row in place.rows}.values())

    def by_wording(self) -> Iterator[tuple[Cell, str, list[Output]]]:
        """The outputs of all policies in a cell, one wording at a time."""
        groups: dict[tuple[Cell, str], list[Output]] = {}
        for place in self.places():
            some = groups.setdefault((place.cell, place.question.wording), [])
            texts = [row["text"] for row in place.rows] or [None]
            question = place.question
            some += [Output(place.policy, question.item, text, question.references) for text in texts]
        for (cell, wording), outputs in groups.items():
            yield cell, wording, outputs

    def scores(self, metric: str, values: Mapping[str, float], reason: str, most: int | None = None) -> list[Score]:
        """Scores from values by output id; of a question's outputs the first `most`. `reason`: why one has none."""
        found: list[Score] = []
        for place in self.places():
            found += [place.score(metric, values.get(row["id"]), reason) for row in place.rows[:most]]
            if not place.rows:
                found.append(place.score(metric, None, NO_OUTPUT))
        return found


def at(scores: Sequence[Score], cell: Cell, wording: str) -> list[Score]:
    """Scores of the outputs of a cell in one wording, which do not know yet where they belong."""
    return [replace(score, variant=wording, temperature=cell.temperature) for score in scores]
