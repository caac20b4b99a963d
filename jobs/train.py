"""Train: the trainers that a study names, in the order in which each needs the one before."""

from jobs.context import Context
from jobs.direct import train_dpo
from jobs.policy import train_policy
from jobs.rejection import train_rejection
from jobs.reward import train_reward_model
from jobs.supervised import train_sft


def train(context: Context) -> None:
    """Start policy from demonstrations, reward model and direct preference from preferences, policy on the reward graph."""
    study = context.study
    if study.sft is not None:
        train_sft(context)
    if study.reward_model is not None:
        train_reward_model(context)
    if study.dpo is not None:
        train_dpo(context)
    if study.rejection is not None:
        train_rejection(context)
    if study.policy is not None:
        train_policy(context)


if __name__ == "__main__":
    from jobs.cli import run_module

    run_module("train")
