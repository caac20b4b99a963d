"""How a pass that is under way is ended from outside: several times a second Ray Data asks here whether to go on."""

from typing import Any

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

from truing.errors import ActorDied

NAME = "truing_pass"
"""Setting of Ray Data that names a pass."""

_halted: set[str] = set()


def make_haltable(context: DataContext, name: str) -> None:
    """Give what is executed in this context a name, by which it can be ended."""
    context.set_config(NAME, name)
    context.custom_execution_callback_classes = [Halt]


def halt(name: str) -> None:
    """End what this process executes under the name, and its workers, a moment later."""
    _halted.add(name)


class Halt(ExecutionCallback):
    """What Ray Data asks."""

    def on_execution_step(self, executor: Any) -> None:
        """Go on, or raise."""
        if executor._data_context.get_config(NAME) in _halted:
            raise ActorDied("the pass has been ended")
