"""Where a training step's figures go, beside metrics.jsonl: TensorBoard, MLflow, Weights & Biases."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from truing.config.base import Section

Name = Annotated[str, Field(min_length=1)]


class TensorBoard(Section):
    """Event files in the stage's folder, for `tensorboard --logdir runs`."""

    kind: Literal["tensorboard"] = "tensorboard"


class MlFlow(Section):
    """One MLflow run a stage."""

    kind: Literal["mlflow"] = "mlflow"
    uri: str = ""
    """Tracking server or store, such as `http://host:5000` or `sqlite:///mlflow.db`; empty keeps a SQLite file in the stage's
    folder. A server's name and password are read from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""
    experiment: Name = "truing"
    """Made where there is none of this name."""

    @model_validator(mode="after")
    def _no_password(self) -> "MlFlow":
        # Of the whole section, not of the field: the message of a wrong field would show it, password and all.
        if urlsplit(self.uri).password:
            raise ValueError(
                "uri holds a password, which would be stored; leave it out and set MLFLOW_TRACKING_PASSWORD"
            )
        return self


class Wandb(Section):
    """One Weights & Biases run a stage. The key is read from WANDB_API_KEY and never written anywhere."""

    kind: Literal["wandb"] = "wandb"
    project: Name = "truing"
    """Made where there is none of this name."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` writes a folder that `wandb sync` uploads later; `online` sends each step."""


Tracker = Annotated[TensorBoard | MlFlow | Wandb, Field(discriminator="kind")]


def _one_of_each(trackers: tuple[Tracker, ...]) -> tuple[Tracker, ...]:
    kinds = [tracker.kind for tracker in trackers]
    if doubled := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise ValueError(f"{doubled[0]} is there twice: keep one")
    return trackers


Trackers = Annotated[tuple[Tracker, ...], AfterValidator(_one_of_each)]
