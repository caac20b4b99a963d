"""A grid made by hand: four policies on one data set in distribution and two out of it, at three temperatures.

RLOO wins in distribution and loses on another domain, writes more, and has lost diversity; the reward does not notice.
`name` stands where a text of a model, a data set or a user can stand.
"""

from dataclasses import replace

from truing.evaluation.figure import Figure
from truing.report.grid_alarms import alarms
from truing.report.grid_contents import Grid, GridData, GridPolicy, GridSample, WordingAccuracies

TEMPERATURES = (0.3, 0.7, 1.0)
DATA = (GridData("tldr", "id", 60), GridData("cnn", "another domain", 60), GridData("essays", "another length", 40))
START, SFT, BEST = "start", "SFT", "best of 4"
# The figures of each policy in distribution at temperature 0.7: win rate, reward, KL, words, ROUGE-L, EAD and SBERT per input
# and across inputs, self-BLEU per input.
AT = {
    START: (None, 0.10, None, 24.0, 0.150, 0.62, 0.45, 0.90, 0.78, 21.0),
    SFT: (0.60, 0.12, 6.0, 26.0, 0.210, 0.60, 0.44, 0.89, 0.77, 23.0),
    BEST: (0.66, 0.34, 0.64, 25.0, 0.165, 0.61, 0.44, 0.89, 0.77, 22.0),
    "RLOO": (0.72, 0.52, 14.0, 41.0, 0.190, 0.38, 0.25, 0.81, 0.70, 48.0),
}
METRICS = (
    ("win rate", "share", 0.06),
    ("reward", "", 0.05),
    ("KL", "nats", 0.8),
    ("words", "words", 2.0),
    ("ROUGE-L F1", "", 0.015),
    ("EAD per input", "", 0.03),
    ("SBERT per input", "", 0.025),
    ("EAD across inputs", "", 0.02),
    ("SBERT across inputs", "", 0.02),
    ("self-BLEU per input", "", None),
)
SHIFTED = {"tldr": 0.0, "cnn": -0.30, "essays": -0.08}
"""What RLOO's win rate loses; the others lose a quarter of it."""


def figure(
    policy: str, metric: str, value: float | None, *, ends: tuple[float, float] | None = None, unit: str = "",
    data: str = "tldr", temperature: float | None = 0.7, variant: str = "", n: int = 60, note: str = "",
) -> Figure:  # fmt: skip
    low, high = ends or (None, None)
    shift = next((one.shift for one in DATA if one.name == data), "id")
    return Figure(policy, data, shift, temperature, variant, metric, unit, value, low, high, n, 0, note)


def around(value: float, half: float) -> tuple[float, float]:
    return round(value - half, 4), round(value + half, 4)


def example(name: str = "RLOO") -> Grid:
    """The whole grid, with its alarms; `name` is what the last policy is called, and stands in every text."""
    policies = tuple(name if policy == "RLOO" else policy for policy in AT)
    figures = [
        one
        for policy, values in zip(policies, AT.values(), strict=True)
        for data in DATA
        for temperature in TEMPERATURES
        for one in _cell(policy, values, data, temperature, best=policy == name)
    ]
    figures += _gaps(figures)
    figures += _differences(figures, policies)
    grid = Grid(
        policies=tuple(_policy(policy, policy == name) for policy in policies),
        data=DATA,
        temperatures=TEMPERATURES,
        completions=4,
        baseline=START,
        figures=tuple(figures),
        wordings=tuple(_wordings(name)),
        samples=tuple(_samples(name)),
    )
    return replace(grid, alarms=alarms(grid))


def _policy(name: str, last: bool) -> GridPolicy:
    if name == BEST:
        return GridPolicy(name, "best_of", (4, START), 96.0, 640, 24_300)
    seconds = 31.5 if last else 24.0
    return GridPolicy(name, "model", None, seconds, 1920, 78_720 if last else 48_100)


def _cell(
    policy: str, values: tuple[float | None, ...], data: GridData, temperature: float, *, best: bool
) -> list[Figure]:
    found: list[Figure] = []
    hot = temperature - 0.7
    for (metric, unit, half), value in zip(METRICS, values, strict=True):
        if value is None:
            continue
        if metric == "win rate":
            value += SHIFTED[data.name] * (1 if best else 0.25) - 0.08 * hot
        elif metric == "KL" and policy != BEST:
            value *= 1 + 0.4 * hot
        elif metric == "reward":
            value += -0.06 * hot - (0.02 if data.shift != "id" else 0)
        elif metric.endswith(("per input", "across inputs")):
            value *= 1 - (0.6 * hot if metric.startswith("self-BLEU") else -0.3 * hot)
        bound = metric == "KL" and policy == BEST
        ends = around(value, half) if half is not None and not bound else None
        note = "no interval: leaving each output out would take as many times as long" if half is None else ""
        asked = {"unit": unit, "data": data.name, "temperature": temperature, "n": data.prompts}
        found.append(figure(policy, metric, round(value, 4), ends=ends, note=note, **asked))
    return found


def _gaps(figures: list[Figure]) -> list[Figure]:
    by = {(f.policy, f.data, f.temperature): f for f in figures if f.metric == "win rate"}
    found: list[Figure] = []
    for (policy, data, temperature), f in by.items():
        if data != "tldr":
            gap = round(by[policy, "tldr", temperature].value - f.value, 4)
            asked = {"unit": "share", "data": data, "temperature": temperature, "n": f.n + 60}
            found.append(figure(policy, "gap: win rate", gap, ends=around(gap, 0.08), **asked))
    return found


def _differences(figures: list[Figure], policies: tuple[str, ...]) -> list[Figure]:
    found: list[Figure] = []
    base = {(f.data, f.temperature, f.metric): f for f in figures if f.policy == START}
    for f in figures:
        other = base.get((f.data, f.temperature, f.metric))
        if f.policy != START and other is not None and f.low is not None:
            change = round(f.value - other.value, 4)
            asked = {"unit": f.unit, "data": f.data, "temperature": f.temperature, "n": f.n}
            ends = around(change, (f.high - f.low) / 2)
            found.append(figure(f"{f.policy} − {START}", f"Δ {f.metric}", change, ends=ends, **asked))
    return found


def _wordings(name: str) -> list[WordingAccuracies]:
    wordings = tuple(f"Wording {i} of the question: {{goal}} {name}" for i in range(1, 13))
    middle = {START: (0.50, 0.012), SFT: (0.55, 0.006), name: (0.57, 0.015)}
    return [
        WordingAccuracies(
            policy, "tldr", "accuracy", wordings, tuple(m + s * (i * 5 % 12 - 5.5) for i in range(12)), 200
        )
        for policy, (m, s) in middle.items()
    ]


def _samples(name: str) -> list[GridSample]:
    found: list[GridSample] = []
    for i, data in enumerate(DATA):
        for j, temperature in enumerate(TEMPERATURES):
            rewards = {START: 0.1, SFT: 0.2, BEST: 0.4, name: 0.5 + 0.1 * (3 * i + j)}
            outputs = {
                START: "My cat will not eat the new food.",
                SFT: "The cat refuses its new food; the vet finds nothing wrong.",
                BEST: "" if i else "The vet finds nothing wrong with the cat.",
                name: f"The cat will not eat. What should the poster do, and what has been tried so far? {name}",
            }
            scores = {p: {"reward": r, "words": float(len(outputs[p].split()))} for p, r in rewards.items()}
            prompt = f"Summarise post {3 * i + j}: my cat stopped eating when we changed its food. {name}"
            reference = "Cat rejects new food." if data.shift == "id" else None
            found.append(GridSample(data.name, data.shift, temperature, "", prompt, reference, outputs, scores))
    return found
