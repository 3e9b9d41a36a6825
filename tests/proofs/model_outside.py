"""What the model gives the service in place of the world: a bank that is unsure, and ids that come again by a seed."""

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

from app.payments.ports import ChannelAnswer, ChannelOutcome


@dataclass(slots=True)
class UnsureBank:
    """A channel that answers what it is told to, at once or when asked later; what it refused is remembered."""

    name: str = "unsure-bank"
    answers: ChannelOutcome = ChannelOutcome.UNKNOWN
    refused: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)

    def start_over(self) -> None:
        """Forget every file."""
        self.answers = ChannelOutcome.UNKNOWN
        self.refused.clear()
        self.sent.clear()

    def send(self, data: bytes, *, message_id: str) -> ChannelAnswer:
        """Take a file, once."""
        assert data, "an empty file was sent"
        assert message_id not in self.sent, f"{message_id} was sent twice"
        self.sent.append(message_id)
        return self._answer(message_id)

    def ask(self, *, message_id: str, reference: str | None) -> ChannelAnswer:
        """Say what became of it."""
        assert reference is None
        return self._answer(message_id)

    def _answer(self, message_id: str) -> ChannelAnswer:
        if self.answers is ChannelOutcome.REFUSED:
            self.refused.add(message_id)
        return ChannelAnswer(outcome=self.answers)


class SeededIds:
    """Ids that look random and are the same ones after the same seed: what is ordered by id is ordered alike again."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def start_over(self, seed: int) -> None:
        """Begin the ids of this seed."""
        self._random.seed(seed)

    def __call__(self) -> UUID:
        """Return the next id."""
        return UUID(int=self._random.getrandbits(128), version=4)
