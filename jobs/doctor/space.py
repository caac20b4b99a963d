"""Room on disk that a run takes: an estimate from the model's shape, as `jobs.memory` makes one of the memory.

A checkpoint of a learner holds the trained parameters (4 bytes each), the float32 masters and AdamW's two moments (12; of ZeRO
stage 0 the moments alone, on each rank). `keep` of them stay, the new one is written before the oldest goes, and the best one
stays beside them. They go when their stage is finished; the models that stages write stay (float32 at most).
"""

from jobs.memory import GB, Shape, learner_need
from truing.config.load import ways
from truing.config.policy import Ppo, Reinforce
from truing.config.roles import Learner
from truing.config.study import Study


def taken(study: Study, shape: Shape) -> float:
    """GB that the run folder grows to, beside texts and figures."""
    stages = [stage for way in ways(study).values() for stage in _stages(way)]
    model = 4 * shape.parameters / GB
    peak = max((copies * sum(_checkpoint(shape, one) for one in learners) for learners, copies in stages), default=0.0)
    return study.rounds * model * len(stages) + peak


def weights(shape: Shape) -> float:
    """GB of one push of the policy's weights, in bfloat16."""
    return 2 * shape.parameters / GB


def _stages(study: Study) -> list[tuple[list[Learner], int]]:
    """Of each stage that trains: its learners, and how many checkpoints there are at a time."""
    passes = [one for one in (study.sft, study.reward_model, study.dpo, study.rejection) if one]
    found = [([one.learner], one.keep + 1 + (one.patience is not None)) for one in passes]
    if study.policy:
        algorithm = study.policy.algorithm
        critic = [algorithm.critic] if isinstance(algorithm, Ppo | Reinforce) else []
        found.append(([study.policy.learner, *critic], study.policy.keep + 1))
    return found


def _checkpoint(shape: Shape, learner: Learner) -> float:
    """GB of one, over all ranks."""
    sharded = learner.ranks if learner.zero_stage >= 2 else 1
    trained = learner_need("", shape, learner).parts["gradients"] * sharded / 4
    return trained * (4 + 8 * learner.ranks if learner.zero_stage == 0 else 4 + 12)
