"""Figures of recorded files, made by hand; `name` stands where a text of a file or a user can stand."""

from truing.evaluation.figure import Figure
from truing.report.recorded_contents import Recorded


def figure(
    policy: str, metric: str, value: float | None, *, ends: tuple[float, float] | None = None, unit: str = "",
    variant: str = "", n: int = 100, missing: int = 0, note: str = "",
) -> Figure:  # fmt: skip
    low, high = ends or (None, None)
    return Figure(policy, "TL;DR", "id", None, variant, metric, unit, value, low, high, n, missing, note)


def outputs(name: str = "TL;DR") -> Recorded:
    """Two policies and their difference; ROUGE is undefined for one of them."""
    gap = f"{name} − sft"
    figures = (
        figure("sft", "words", 23.9, ends=(18.5, 30.3), unit="words"),
        figure("sft", "EAD across inputs", 0.891, ends=(0.879, 0.904)),
        figure("sft", "ROUGE-1 F1", None, n=0, missing=100, note=f"100 no reference {name}"),
        figure(name, "words", 46.3, ends=(42.8, 49.9), unit="words"),
        figure(name, "EAD across inputs", 0.847, ends=(0.836, 0.858)),
        figure(name, "ROUGE-1 F1", 0.17, ends=(0.15, 0.19), n=99, missing=1),
        figure(gap, "Δ words", 22.4, ends=(15.8, 28.4), unit="words"),
        figure(gap, "Δ EAD across inputs", -0.044, ends=(-0.059, -0.03)),
        figure(gap, "Δ ROUGE-1 F1", 0.001, ends=(-0.02, 0.02)),
    )
    return Recorded(name, "outputs", f"{name}.jsonl", 4140, figures)


def judges() -> Recorded:
    """One judge on two criteria and over both."""
    figures = [
        figure("gpt", f"Spearman, {level} level", value, ends=(value - 0.1, value + 0.1), variant=criterion)
        for criterion, shift in (("fluency", 0.0), ("relevance", 0.05))
        for level, value in (("summary", 0.4 + shift), ("sample", 0.45), ("system", 0.85))
    ]
    orders = (
        figure("gpt", "system ordering", 0.8, ends=(0.7, 0.9), unit="share", variant="fluency", n=66),
        figure("gpt", "system ordering", 0.9, ends=(0.8, 0.95), unit="share", variant="relevance", n=66),
        figure(
            "gpt",
            "system ordering",
            0.85,
            ends=(0.75, 0.9),
            unit="share",
            variant="all criteria",
            n=132,
            note="56 of 66",
        ),
    )
    return Recorded("SummEval", "judges", "judges.jsonl", 4800, (*figures, *orders))


def comparisons() -> Recorded:
    """A judge's place, and the systems that it judged."""
    figures = (
        figure("gpt", "same place wins twice", 0.33, ends=(0.3, 0.36), unit="share", variant="fluency", n=1100),
        figure(
            "gpt", "first among places that won twice", 0.75, ends=(0.7, 0.8), unit="share", variant="fluency", n=363
        ),
        figure("gpt", "p-value for a half", 1e-9, variant="fluency", n=363, note="two-sided binomial"),
        figure("M8", "wins", 97.0, unit="count", variant="fluency", n=200),
        figure("M8", "Bradley-Terry rating", 1079.0, ends=(1016, 1141), unit="Elo points", variant="fluency", n=200),
        figure("M9", "wins", 33.0, unit="count", variant="fluency", n=200),
        figure("M9", "Bradley-Terry rating", None, unit="Elo points", variant="fluency", n=0, note="never won"),
    )
    return Recorded("h2h", "comparisons", "h2h.jsonl", 8800, figures)


def preferences() -> Recorded:
    """Two models against a baseline, the better one first."""
    figures = (
        figure("good", "win rate", 76.9, ends=(75.2, 78.6), unit="%", n=805, note="against base"),
        figure("good", "wins", 676.0, unit="count", n=805),
        figure("bad", "win rate", 2.6, ends=(1.7, 3.6), unit="%", n=804, missing=1, note="against base"),
        figure("bad", "wins", 17.0, unit="count", n=804, missing=1),
    )
    return Recorded("AlpacaEval", "preferences", "p.jsonl", 1610, figures)
