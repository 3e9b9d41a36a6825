"""Who is asking, and what they may see and do. All that is shown or changed goes through one of these questions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from app.auth.models import Role, Scope
from app.core.errors import NotFound, RoleMissing, ScopeMissing
from app.core.history import HistoryActor


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person with a token. `mandates` are the employers that the person's offices work for, with `sees_salaries`."""

    user_id: UUID
    email: str
    name: str
    token_id: UUID
    scopes: frozenset[str]
    employers: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    offices: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    mandates: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    salaries_through_mandate: frozenset[UUID] = frozenset()

    @property
    def readable_employers(self) -> frozenset[UUID]:
        """Every employer whose payments this person may look at, masked or not."""
        return frozenset(self.employers) | frozenset(self.mandates)

    @property
    def organizations(self) -> frozenset[UUID]:
        """Every organization this person is a member of."""
        return frozenset(self.employers) | frozenset(self.offices)

    def roles_at(self, employer_id: UUID) -> frozenset[str]:
        """Return the roles held at an employer as `admin`, ... and through an office as `office_admin`, ..."""
        through_office = {f"office_{role}" for role in self.mandates.get(employer_id, frozenset())}
        return self.employers.get(employer_id, frozenset()) | through_office

    def sees_salaries(self, employer_id: UUID) -> bool:
        """Say whether names, IBANs and amounts are shown: to admins and approvers, and to offices that may see them."""
        direct = self.employers.get(employer_id, frozenset())
        return bool(direct & {Role.ADMIN, Role.APPROVER}) or employer_id in self.salaries_through_mandate

    def needs_scope(self, scope: Scope) -> None:
        """Refuse when the token was not made for this."""
        if scope not in self.scopes:
            raise ScopeMissing(
                f"The token was not issued with the scope '{scope.value}'; issue one that has it.",
                extra={"scope": scope.value},
            )

    def needs_employer_role(self, employer_id: UUID, *roles: str) -> None:
        """Refuse when none of these roles is held; an employer that is not visible does not exist."""
        if employer_id not in self.readable_employers:
            raise NotFound("No such employer.")
        if not self.roles_at(employer_id) & set(roles):
            raise RoleMissing(f"This needs {_one_of(roles)} at the employer.")

    def needs_membership_role(self, organization_id: UUID, *roles: str) -> None:
        """Refuse when none of these roles is held in the organization itself."""
        held = self.employers.get(organization_id) or self.offices.get(organization_id)
        if held is None:
            raise NotFound("No such organization.")
        if not held & set(roles):
            raise RoleMissing(f"This needs {_one_of(roles)} in the organization.")

    def as_history(self) -> HistoryActor:
        """Return how this person stands in the history."""
        return HistoryActor(kind="user", id=self.user_id, name=self.name, token_id=self.token_id)


def _one_of(roles: Collection[str]) -> str:
    named = ", ".join(sorted(roles))
    return f"one of the roles {named}" if len(roles) > 1 else f"the role {named}"
