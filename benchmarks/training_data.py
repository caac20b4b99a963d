"""What every contender of `benchmarks.training` is given: the same pairs, cut into the same tokens."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from jobs.models import model_folder
from truing.data.answers import answer_tree
from truing.data.batches import Tree
from truing.data.chat import Tokenizer, load_tokenizer, prompt_tokens
from truing.data.rows import numbered_rows
from truing.records import Row

SOURCE = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh_harmless_test.jsonl.gz"
CONTEXT = 1024
"""Tokens of prompt and response: TRL's own `max_length`."""
ROLLOUT_CONTEXT = 384
"""Tokens of prompt and completion in a step of reinforcement learning, as in configs/rloo.yaml."""
RULE = "[aeiou]"
"""The reward of a completion is the share of its characters that match."""


@dataclass(frozen=True, slots=True)
class Task:
    """How much a contender does; the same for all of one benchmark."""

    pairs: int = 64
    """Pairs of one pass, which is timed as a whole."""
    batch: int = 16
    """Pairs of one update."""
    steps: int = 3
    """Steps of reinforcement learning; the first is not counted."""
    prompts: int = 8
    completions: int = 4
    new_tokens: int = 64
    zero_stage: int = 1
    """Of our learners."""
    model: str = "demo"

    @property
    def folder(self) -> str:
        """The model's."""
        return model_folder(self.model)


Figures = dict[str, float]
"""What a contender measured: `items` and `seconds`, and whatever else it has to say."""


def pairs(count: int) -> list[Row]:
    """The first pairs of the source, in its order: `prompt`, `chosen`, `rejected`."""
    found = [row for _, row in islice(numbered_rows(str(SOURCE)), count)]
    if len(found) < count:
        raise SystemExit(f"{SOURCE} has {len(found)} pairs; give --pairs {len(found)} or less")
    return found


def tree(tokenizer: Tokenizer, row: Row, *, both: bool = True) -> Tree:
    """Prompt and responses of one pair as token ids (or the chosen one alone)."""
    answers = (row["chosen"], row["rejected"]) if both else (row["chosen"],)
    return answer_tree(tokenizer, row["prompt"], answers, CONTEXT)


def rollout_prompts(task: Task) -> list[str]:
    """The first distinct prompts that leave room for the new tokens."""
    tokenizer, room = load_tokenizer(task.folder), ROLLOUT_CONTEXT - task.new_tokens
    texts = dict.fromkeys(row["prompt"] for _, row in numbered_rows(str(SOURCE)))
    fitting = (text for text in texts if len(prompt_tokens(tokenizer, text)) <= room)
    return list(islice(fitting, task.prompts))
