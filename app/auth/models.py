"""Rows of people and organizations. A table class checks nothing: rows are made in use cases, from checked values."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from app.core.columns import document, moment, one_of


class OrganizationKind(StrEnum):
    """The two kinds of organization: who owns the money, and who runs payroll for others."""

    EMPLOYER = "employer"
    OFFICE = "office"


class Role(StrEnum):
    """What a member may do. An approver exists only in an employer, a preparer only in an office."""

    ADMIN = "admin"
    PREPARER = "preparer"
    APPROVER = "approver"
    AUDITOR = "auditor"


ROLES_OF = {
    OrganizationKind.OFFICE: frozenset({Role.ADMIN, Role.PREPARER}),
    OrganizationKind.EMPLOYER: frozenset({Role.ADMIN, Role.APPROVER, Role.AUDITOR}),
}


class Scope(StrEnum):
    """What an API token may be used for, on top of what its owner may do."""

    READ = "read"
    PREPARE = "prepare"
    FILES = "files"
    APPROVE = "approve"


class Organization(SQLModel, table=True):
    """An employer or a payroll office."""

    __tablename__ = "organization"
    __table_args__ = (one_of("kind", OrganizationKind, table="organization"),)

    id: UUID = Field(primary_key=True)
    kind: str
    name: str
    created_at: datetime = moment()


class User(SQLModel, table=True):
    """A person. The e-mail is stored in lower case and is unique."""

    __tablename__ = "user_account"
    __table_args__ = (sa.CheckConstraint("email = lower(email)", name="ck_user_account_email"),)

    id: UUID = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    created_at: datetime = moment()
    pin_hash: str | None = None
    pin_set_at: datetime | None = moment(default=None)
    pin_locked_at: datetime | None = moment(default=None)
    pin_changed_at: datetime | None = moment(default=None)
    pin_change_confirmed_by: UUID | None = Field(default=None, foreign_key="user_account.id")


class Membership(SQLModel, table=True):
    """One role of one person in one organization. `ends_on` is a deputy's last day."""

    __tablename__ = "membership"
    __table_args__ = (one_of("role", Role, table="membership"),)

    user_id: UUID = Field(primary_key=True, foreign_key="user_account.id")
    organization_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    role: str = Field(primary_key=True)
    created_at: datetime = moment()
    ends_on: date | None = None


class Mandate(SQLModel, table=True):
    """What an employer lets an office do. Live when granted, accepted and not revoked."""

    __tablename__ = "mandate"

    office_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    employer_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    created_at: datetime = moment()
    granted_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    granted_at: datetime | None = moment(default=None)
    accepted_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    accepted_at: datetime | None = moment(default=None)
    revoked_at: datetime | None = moment(default=None)
    sees_salaries: bool = False


class ApiToken(SQLModel, table=True):
    """A token of a person; only its SHA-256 is stored. An unattended one is used by a program, not by the person.

    `last_used_at` is right to a few minutes.
    """

    __tablename__ = "api_token"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="user_account.id", index=True)
    token_hash: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=ARRAY(sa.Text))
    created_at: datetime = moment()
    expires_at: datetime = moment()
    revoked_at: datetime | None = moment(default=None)
    pin_locked_at: datetime | None = moment(default=None)
    last_used_at: datetime | None = moment(default=None)
    is_unattended: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})


class PinTry(SQLModel, table=True):
    """One try of a PIN, committed before the PIN is looked at. `correct` stays empty when the process died between."""

    __tablename__ = "pin_try"
    __table_args__ = (sa.Index("ix_pin_try_user", "user_id", "tried_at"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="user_account.id")
    token_id: UUID = Field(foreign_key="api_token.id", index=True)
    tried_at: datetime = moment()
    correct: bool | None = None


class ProposalOutcome(StrEnum):
    """How a proposal ended."""

    APPLIED = "applied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Proposal(SQLModel, table=True):
    """An act that one person asked for and that a second person, or a day, must confirm before it is done.

    `target` is the id of what it is about; at most one proposal of a kind is open for a target. `waits_until` is set
    where a day suffices without a second person.
    """

    __tablename__ = "proposal"
    __table_args__ = (
        sa.Index(
            "uq_proposal_open",
            "organization_id",
            "kind",
            "target",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
        sa.Index("ix_proposal_organization", "organization_id", "proposed_at", "id"),
        one_of("outcome", ProposalOutcome, table="proposal"),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ck_proposal_ended"),
        sa.CheckConstraint("confirmed_by IS DISTINCT FROM proposed_by", name="ck_proposal_two_people"),
    )

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id")
    kind: str
    target: UUID
    payload: dict[str, Any] = document()
    reason: str
    proposed_by: UUID = Field(foreign_key="user_account.id")
    proposed_at: datetime = moment()
    waits_until: datetime | None = moment(default=None)
    confirmed_by: UUID | None = Field(default=None, foreign_key="user_account.id")
    ended_at: datetime | None = moment(default=None)
    outcome: str | None = None
