"""Evaluate: start policy, best-of-n and trained policy, in and out of distribution, as Ray Data passes over one grid."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jobs import measure
from jobs.context import Context
from jobs.figures import Measured, results
from jobs.grading import START, Graders, graded, win_rates
from jobs.models import embedder_folder, fingerprint
from jobs.progress import headline, print_table
from jobs.recorded import recorded
from jobs.sample import complete, requests
from jobs.store import write_json
from truing.algorithms.best_of_n import best_index
from truing.config.evaluation import Evaluate
from truing.config.policy import FinishedPart
from truing.errors import ConfigError
from truing.records import Row, content_id
from truing.report.contents import PolicyResult

TRAINED = "trained"
"""What the policy of reinforcement learning is called."""


def evaluate(context: Context) -> list[PolicyResult]:
    """Draw, score, judge, embed; every answer is stored under the hash of its question, so nothing is done twice."""
    settings = context.study.evaluate
    assert settings is not None
    if settings.recorded:
        recorded(settings, context.run.path / "evaluation", context.study.seed)
    if not settings.policies:
        return []
    headline("Evaluate: start, best-of-n and trained policy, in and out of distribution")
    if not context.evaluation:
        raise ConfigError(
            "evaluate: there is no held-out and no shifted prompt; raise prompts.holdout or give prompts with a split"
        )
    folders = {START: context.start_folder} | _trained(context)
    drawn = {name: _draw(context, settings, name, folder) for name, folder in folders.items()}
    policy = context.study.policy
    precision = policy.learner.precision if policy else "bfloat16"
    graders = Graders(context, settings.scorer, precision, "evaluation")
    every = [row for rows in drawn.values() for row in rows]
    parts = graded(graders, policy.rewards if policy else (FinishedPart(),), every)
    outputs = _policies(settings, drawn, parts)
    wins = win_rates(context, outputs)
    kl = _divergence(graders, settings, folders, outputs)
    vectors = _embed(graders, settings, outputs)
    found = results(
        Measured(context.evaluation, outputs, parts, wins, kl, vectors, settings.best_of, context.study.seed)
    )
    write_json(context.run.path / "evaluation" / "results.json", found)
    write_json(context.run.path / "evaluation" / "samples.json", _samples(context, outputs, parts))
    _show(found)
    return found


def _trained(context: Context) -> dict[str, str]:
    """Folders of the policies that the study has trained, by what they are called."""
    named = {TRAINED: "policy", "rejection sampling": "rejection", "DPO": "dpo"}
    found = {name: context.run.path / stage / "model" for name, stage in named.items()}
    return {name: str(folder) for name, folder in found.items() if (folder / "config.json").is_file()}


def _draw(context: Context, settings: Evaluate, name: str, folder: str) -> list[Row]:
    """n·K completions of the start policy, K of the others."""
    numbers = settings.completions * (settings.best_of if name == START else 1)
    identity = context.start_id if name == START else fingerprint(folder)
    rows = requests(
        context.evaluation, numbers, identity, settings.sampling, context.study.model, context.study.seed, "evaluate"
    )
    return complete(
        context,
        f"sampling {name}",
        f"evaluation/outputs/{name}",
        folder,
        rows,
        settings.engine,
        settings.sampling,
        "evaluate",
    )


def _policies(
    settings: Evaluate, drawn: dict[str, list[Row]], parts: dict[str, dict[str, float]]
) -> dict[str, dict[str, list[Row]]]:
    """K outputs of each policy by prompt. Best-of-n takes the best of each n of the start policy's n·K."""
    best_name = f"best of {settings.best_of}"
    found: dict[str, dict[str, list[Row]]] = {name: {} for name in (START, best_name, *drawn)}
    for name, rows in drawn.items():
        for row in sorted(rows, key=lambda r: r["sample"]):
            found[name].setdefault(row["prompt_id"], []).append(row)
    best = found[best_name]
    for prompt, rows in found[START].items():
        known = [row for row in rows if "total" in parts[row["id"]]]
        batches = [
            known[i : i + settings.best_of] for i in range(0, len(known) - settings.best_of + 1, settings.best_of)
        ]
        best[prompt] = [batch[best_index([parts[row["id"]]["total"] for row in batch])] for batch in batches]
        found[START][prompt] = rows[: settings.completions]
    return {name: by_prompt for name, by_prompt in found.items() if by_prompt}


def _divergence(
    graders: Graders, settings: Evaluate, folders: dict[str, str], outputs: dict[str, dict[str, list[Row]]]
) -> dict[str, float]:
    """log π/π_ref of each output of a trained policy, by output id."""
    found: dict[str, float] = {}
    for name, folder in folders.items():
        if name == START:
            continue
        rows = [row for by_prompt in outputs[name].values() for row in by_prompt]
        temperature = settings.sampling.temperature
        make = partial(measure.read_models, folder, folders[START], settings.scorer, graders.precision, temperature)
        done = graders.asked(f"KL of {name} to the start", "divergence", rows, graders.pool(make, measure.divergence))
        found |= {key: row["kl"] for key, row in done.items()}
    return found


def _embed(graders: Graders, settings: Evaluate, outputs: dict[str, dict[str, list[Row]]]) -> dict[str, list[float]]:
    """Sentence-BERT vector of each text, by text; each text is embedded once."""
    folder = embedder_folder(settings.embedder)
    texts = sorted({row["text"] for by_prompt in outputs.values() for rows in by_prompt.values() for row in rows})
    identity = fingerprint(folder)
    questions: list[Row] = [{"id": content_id("embedding", identity, text), "text": text} for text in texts]
    make: Any = partial(measure.load_embedder, folder)
    found = graders.asked("sentence embeddings", "embeddings", questions, graders.pool(make, measure.embed))
    return {text: found[question["id"]]["vector"] for text, question in zip(texts, questions, strict=True)}


def _samples(
    context: Context, outputs: dict[str, dict[str, list[Row]]], parts: dict[str, dict[str, float]]
) -> list[Row]:
    """First answer of each policy to every prompt, for the report."""
    samples: list[Row] = []
    for prompt in context.evaluation:
        rows = {name: by_prompt[prompt.id][0] for name, by_prompt in outputs.items() if by_prompt.get(prompt.id)}
        texts = {name: row["text"] for name, row in rows.items()}
        rewards = {name: parts[row["id"]]["total"] for name, row in rows.items() if "total" in parts[row["id"]]}
        samples.append(
            {
                "prompt": prompt.text,
                "domain": prompt.domain,
                "split": prompt.split,
                "outputs": texts,
                "rewards": rewards,
            }
        )
    return samples


def _show(found: Sequence[PolicyResult]) -> None:
    columns = (
        "policy",
        "split",
        "n",
        "win %",
        "95 % interval",
        "reward",
        "KL",
        "tokens",
        "EAD in",
        "EAD across",
        "SBERT in",
        "SBERT across",
    )
    rows = []
    for r in found:
        win = r.win_rate
        interval = (
            None
            if win is None or win.low is None or win.high is None
            else f"{100 * win.low:.0f} to {100 * win.high:.0f}"
        )
        figures = (r.kl, r.length, r.ead_per_input, r.ead_across, r.sbert_per_input, r.sbert_across)
        rows.append((
            r.policy, r.split, r.n_prompts, None if win is None else 100 * win.value, interval, r.reward.value,
            *(None if figure is None else figure.value for figure in figures),
        ))  # fmt: skip
    print_table(
        "Evaluation",
        columns,
        rows,
        "win %: judged against the start policy in both orders; diversity: higher is more diverse",
    )
