"""What this bank takes, as figures that can be changed while it runs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Iban = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$")]
ReasonCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,4}$")]


class Model(BaseModel):
    """A value that comes in over the control API: unknown members are refused, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rulebook(Model):
    """The limits of the bank; the defaults are the strictest that are usual for salary files.

    `accounts` None takes files on any account; otherwise an account that is not among them is refused. `signatures` is
    how many people must sign, `signatures_by_account` where an account needs another number. Unsigned uploads are gone
    after `signature_days` days.
    """

    schemas: frozenset[str] = frozenset({"pain.001.001.03", "pain.001.001.09"})
    maximum_transactions: int = Field(default=10_000, ge=1)
    maximum_bytes: int = Field(default=10_000_000, ge=1)
    maximum_file_name_length: int = Field(default=35, ge=1)
    horizon_days: int = Field(default=364, ge=0)
    accounts: frozenset[Iban] | None = None
    signatures: int = Field(default=1, ge=1)
    signatures_by_account: dict[Iban, int] = Field(default={})
    signature_days: int = Field(default=28, ge=0)

    def signatures_for(self, iban: str) -> int:
        """How many people must sign for this account."""
        return self.signatures_by_account.get(iban, self.signatures)
