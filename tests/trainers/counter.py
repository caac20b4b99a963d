"""A learner of which one number is the state; actors' processes import it, so it lives in a module of its own."""

from pathlib import Path


class Counter:
    """Its history depends on its state."""

    def __init__(self) -> None:
        self.value = 1

    def update(self) -> int:
        self.value = (self.value * 31 + 7) % 1009
        return self.value

    def save(self, folder: Path) -> None:
        (folder / "value").write_text(str(self.value))

    def load(self, folder: Path) -> None:
        self.value = int((folder / "value").read_text())
