"""What supervised fine-tuning works with: demonstrations to train on, tests, and the bank of prompts where there is one."""

from dataclasses import dataclass

from truing.config.supervised import Mixture
from truing.config.training import Sft
from truing.data.demonstrations import Demonstration, load_demonstrations, split_held_out
from truing.data.flan import load_mixture
from truing.data.paft import Bank, load_bank
from truing.records import content_id


@dataclass(frozen=True)
class Material:
    """Demonstrations to train on and to test with, by the name of each test; the wordings where there is a bank."""

    training: list[Demonstration]
    tests: dict[str, list[Demonstration]]
    bank: Bank | None

    @property
    def every(self) -> list[Demonstration]:
        """All of them, the training ones first."""
        return [*self.training, *(one for some in self.tests.values() for one in some)]

    @property
    def wordings(self) -> tuple[str, ...]:
        """Training prompts, then test prompts."""
        return (*self.bank.train, *self.bank.test) if self.bank else ()

    @property
    def key(self) -> str:
        """Identity of all of it."""
        tests = {name: [one.id for one in some] for name, some in self.tests.items()}
        return content_id("sft", [(one.id, one.prompt) for one in self.training], tests, self.wordings)


def material(settings: Sft, seed: int) -> Material:
    """Read the sources.

    Raises:
        ConfigError: a source, template or prompt that cannot be used.
    """
    bank = load_bank(settings.prompts) if settings.prompts else None
    if isinstance(settings.data, Mixture):
        mixed = load_mixture(settings.data, seed)
        tests = {f"held-out {name}": some for name, some in mixed.held_out.items()}
        return Material(mixed.training, {"trained tasks": mixed.validation, **tests}, bank)
    every = [one for source in settings.data for one in load_demonstrations(source)[0]]
    training, held = split_held_out(every, settings.holdout)
    return Material(training, {"held out": held}, bank)
