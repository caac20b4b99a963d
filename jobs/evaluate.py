"""Evaluate: start policy, best-of-n and trained policy, in and out of distribution, as Ray Data passes over one grid."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actors.group import Needs
from actors.labeler import Labeler
from actors.reward_model import RewardScorer
from jobs import measure
from jobs.context import Context
from jobs.figures import Measured, results
from jobs.label import p_first, pair_row
from jobs.models import embedder_folder, fingerprint
from jobs.progress import headline, print_table
from jobs.sample import complete, requests
from jobs.store import write_json
from jobs.sweep import sweep
from trainers.roles import worker_needs
from truing.algorithms.best_of_n import best_index
from truing.algorithms.rules import finished_reward, pattern_share
from truing.config.policy import AiScorePart, FinishedPart, PatternPart, RewardModelPart, RewardPart
from truing.config.stages import Evaluate
from truing.errors import ConfigError
from truing.labeling.templates import load_template
from truing.records import Row, content_id
from truing.report.contents import PolicyResult

START, TRAINED = "start", "trained"


def evaluate(context: Context) -> list[PolicyResult]:
    """Draw, score, judge, embed; every answer is stored under the hash of its question, so nothing is done twice."""
    settings = context.study.evaluate
    assert settings is not None
    headline("Evaluate: start, best-of-n and trained policy, in and out of distribution")
    if not context.evaluation:
        raise ConfigError("evaluate: there is no held-out and no shifted prompt; raise prompts.holdout or give prompts with a split")
    trained = context.run.path / "policy" / "model"
    folders = {START: context.start_folder} | ({TRAINED: str(trained)} if (trained / "config.json").is_file() else {})
    drawn = {name: _draw(context, settings, name, folder) for name, folder in folders.items()}
    parts = _rewards(context, settings, [row for rows in drawn.values() for row in rows])
    outputs = _policies(settings, drawn, parts)
    wins = _judge(context, settings, outputs)
    kl = _divergence(context, settings, folders, outputs) if TRAINED in folders else {}
    vectors = _embed(context, settings, outputs)
    found = results(Measured(context.evaluation, outputs, parts, wins, kl, vectors, settings.best_of, context.study.seed))
    write_json(context.run.path / "evaluation" / "results.json", found)
    write_json(context.run.path / "evaluation" / "samples.json", _samples(context, outputs, parts))
    _show(found)
    return found


def _draw(context: Context, settings: Evaluate, name: str, folder: str) -> list[Row]:
    """n·K completions of the start policy, K of the others."""
    numbers = settings.completions * (settings.best_of if name == START else 1)
    identity = context.start_id if name == START else fingerprint(folder)
    rows = requests(
        context.evaluation, numbers, identity, settings.sampling, context.study.model, context.study.seed, "evaluate"
    )
    return complete(
        context, f"sampling {name}", "evaluation/outputs", folder, rows, context.evaluation, settings.engine, settings.sampling, "evaluate"
    )


def _rewards(context: Context, settings: Evaluate, rows: list[Row]) -> dict[str, dict[str, float]]:
    """Reward parts of each output, by the same graph as in training; a part that failed is absent."""
    parts: tuple[RewardPart, ...] = context.study.policy.rewards if context.study.policy else (FinishedPart(),)
    found: dict[str, dict[str, float]] = {row["id"]: {} for row in rows}
    for part in parts:
        if isinstance(part, RewardModelPart):
            scores = _model_scores(context, settings, part, rows)
        elif isinstance(part, AiScorePart):
            scores = _ai_scores(context, part, rows)
        elif isinstance(part, PatternPart):
            scores = {row["id"]: pattern_share(row["text"], part.pattern) for row in rows}
        else:
            scores = {row["id"]: finished_reward(row["finished"]) for row in rows}
        for key, score in scores.items():
            found[key][part.kind] = score
    weights = {part.kind: part.weight for part in parts}
    for scores in found.values():
        if set(scores) == set(weights):
            scores["total"] = sum(weights[kind] * score for kind, score in scores.items())
    return found


def _worker(context: Context, settings: Evaluate) -> Needs:
    return worker_needs(settings.scorer, context.study.cluster, context.study.cluster.restarts)


def _asked(context: Context, title: str, table: str, rows: list[Row], make: Any, answer: Any, needs: Needs, count: int) -> dict[str, Row]:
    """One pass; the answers by question id."""
    unique = list({row["id"]: row for row in rows}.values())
    done = sweep(
        title, unique, context.run.table(f"evaluation/{table}"), make, answer,
        needs=needs, pool=(count, count), batch=64, max_failed=context.study.label.max_failed,
    )  # fmt: skip
    return {row["id"]: row for row in done}


def _model_scores(context: Context, settings: Evaluate, part: RewardModelPart, rows: list[Row]) -> dict[str, float]:
    folder = part.path or str(context.run.path / "reward_model" / "model")
    if not Path(folder).is_dir():
        raise ConfigError(f"evaluate: the reward graph wants a reward model and {folder} is absent; run `truing train` first")
    identity = fingerprint(folder)
    asked = {row["id"]: content_id("reward", identity, row["prompt"], row["text"]) for row in rows}
    questions = [{"id": asked[row["id"]], "prompt": row["prompt"], "text": row["text"]} for row in rows]
    precision = context.study.policy.learner.precision if context.study.policy else "bfloat16"
    make = partial(RewardScorer, folder, context.study.model.context, settings.scorer, precision)
    found = _asked(context, "reward model", "rewards", questions, make, measure.reward, _worker(context, settings), settings.scorer.count)
    return {key: found[question]["score"] for key, question in asked.items() if question in found}


def _ai_scores(context: Context, part: AiScorePart, rows: list[Row]) -> dict[str, float]:
    template = load_template(part.template)
    asked = {row["id"]: content_id("score", context.judge_id, template.hash, row["prompt"], row["text"]) for row in rows}
    questions = [
        {"id": asked[row["id"]], "kind": "score", "prompt": row["prompt"], "first": row["text"], "second": "", "domain": row["domain"]}
        for row in rows
    ]
    found = _judge_pass(context, "direct scores", questions, part.template)
    return {key: found[question]["score"] for key, question in asked.items() if question in found}


def _judge_pass(context: Context, title: str, questions: list[Row], score_template: str) -> dict[str, Row]:
    label = context.study.label
    make = partial(Labeler, context.judge_folder, label.model, label.engine, context.templates)
    answer = partial(measure.judge, template=load_template(score_template))
    table = "scores" if questions and questions[0]["kind"] == "score" else "judgements"
    return _asked(context, title, table, questions, make, answer, context.needs(label.engine), label.engine.count)


def _policies(settings: Evaluate, drawn: dict[str, list[Row]], parts: dict[str, dict[str, float]]) -> dict[str, dict[str, list[Row]]]:
    """K outputs of each policy by prompt. Best-of-n takes the best of each n of the start policy's n·K."""
    found: dict[str, dict[str, list[Row]]] = {name: {} for name in (START, f"best of {settings.best_of}", TRAINED)}
    for name, rows in drawn.items():
        for row in sorted(rows, key=lambda r: r["sample"]):
            found[name].setdefault(row["prompt_id"], []).append(row)
    best = found[f"best of {settings.best_of}"]
    for prompt, rows in found[START].items():
        known = [row for row in rows if "total" in parts[row["id"]]]
        batches = [known[i : i + settings.best_of] for i in range(0, len(known) - settings.best_of + 1, settings.best_of)]
        best[prompt] = [batch[best_index([parts[row["id"]]["total"] for row in batch])] for batch in batches]
        found[START][prompt] = rows[: settings.completions]
    return {name: by_prompt for name, by_prompt in found.items() if by_prompt}


def _judge(context: Context, settings: Evaluate, outputs: dict[str, dict[str, list[Row]]]) -> dict[str, dict[str, list[float]]]:
    """P(policy beats the start policy), both orders averaged, by policy and prompt; equal texts are a draw unasked."""
    asked: list[tuple[str, str, Row]] = []
    wins: dict[str, dict[str, list[float]]] = {name: {} for name in outputs if name != START}
    for name in wins:
        for prompt, rows in outputs[name].items():
            for row, base in zip(rows, outputs[START][prompt], strict=False):
                if row["text"] == base["text"]:
                    wins[name].setdefault(prompt, []).append(0.5)
                    continue
                question = pair_row(context, "ai", row["prompt"], row["text"], base["text"], row["domain"], kind="compare")
                asked.append((name, prompt, question))
    part = next((p for p in (context.study.policy.rewards if context.study.policy else ()) if isinstance(p, AiScorePart)), AiScorePart())
    found = _judge_pass(context, "judging against start", [question for _, _, question in asked], part.template)
    for name, prompt, question in asked:
        if question["id"] in found:
            p = p_first(found[question["id"]], context.templates[question["domain"]])
            wins[name].setdefault(prompt, []).append(p)
    return wins


def _divergence(context: Context, settings: Evaluate, folders: dict[str, str], outputs: dict[str, dict[str, list[Row]]]) -> dict[str, float]:
    """log π/π_ref of each output of the trained policy, by output id."""
    rows = [row for by_prompt in outputs[TRAINED].values() for row in by_prompt]
    precision = context.study.policy.learner.precision if context.study.policy else "bfloat16"
    make = partial(measure.read_models, folders[TRAINED], folders[START], settings.scorer, precision, settings.sampling.temperature)
    needs = _worker(context, settings)
    found = _asked(context, "KL to the start policy", "divergence", rows, make, measure.divergence, needs, settings.scorer.count)
    return {key: row["kl"] for key, row in found.items()}


def _embed(context: Context, settings: Evaluate, outputs: dict[str, dict[str, list[Row]]]) -> dict[str, list[float]]:
    """Sentence-BERT vector of each text, by text; each text is embedded once."""
    folder = embedder_folder(settings.embedder)
    texts = sorted({row["text"] for by_prompt in outputs.values() for rows in by_prompt.values() for row in rows})
    identity = fingerprint(folder)
    questions: list[Row] = [{"id": content_id("embedding", identity, text), "text": text} for text in texts]
    make: Any = partial(measure.load_embedder, folder)
    found = _asked(context, "sentence embeddings", "embeddings", questions, make, measure.embed, _worker(context, settings), settings.scorer.count)
    return {text: found[question["id"]]["vector"] for text, question in zip(texts, questions, strict=True)}


def _samples(context: Context, outputs: dict[str, dict[str, list[Row]]], parts: dict[str, dict[str, float]]) -> list[Row]:
    """First answer of each policy to every prompt, for the report."""
    samples: list[Row] = []
    for prompt in context.evaluation:
        rows = {name: by_prompt[prompt.id][0] for name, by_prompt in outputs.items() if by_prompt.get(prompt.id)}
        texts = {name: row["text"] for name, row in rows.items()}
        rewards = {name: parts[row["id"]]["total"] for name, row in rows.items() if "total" in parts[row["id"]]}
        samples.append({"prompt": prompt.text, "domain": prompt.domain, "split": prompt.split, "outputs": texts, "rewards": rewards})
    return samples


def _show(found: Sequence[PolicyResult]) -> None:
    columns = ("policy", "split", "n", "win %", "95 % interval", "reward", "KL", "tokens", "EAD in", "EAD across", "SBERT in", "SBERT across")
    rows = []
    for r in found:
        win = r.win_rate
        interval = None if win is None or win.low is None or win.high is None else f"{100 * win.low:.0f} to {100 * win.high:.0f}"
        figures = (r.kl, r.length, r.ead_per_input, r.ead_across, r.sbert_per_input, r.sbert_across)
        rows.append((
            r.policy, r.split, r.n_prompts, None if win is None else 100 * win.value, interval, r.reward.value,
            *(None if figure is None else figure.value for figure in figures),
        ))  # fmt: skip
    print_table("Evaluation", columns, rows, "win %: judged against the start policy in both orders; diversity: higher is more diverse")


