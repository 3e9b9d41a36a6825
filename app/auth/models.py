"""Rows of people and organizations. A table class checks nothing: rows are made in use cases, from checked values."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from app.core.columns import moment, one_of


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


class Membership(SQLModel, table=True):
    """One role of one person in one organization."""

    __tablename__ = "membership"
    __table_args__ = (one_of("role", Role, table="membership"),)

    user_id: UUID = Field(primary_key=True, foreign_key="user_account.id")
    organization_id: UUID = Field(primary_key=True, foreign_key="organization.id")
    role: str = Field(primary_key=True)
    created_at: datetime = moment()


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
    """A token of a person; only its SHA-256 is stored."""

    __tablename__ = "api_token"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="user_account.id", index=True)
    token_hash: str = Field(unique=True)
    scopes: list[str] = Field(sa_type=ARRAY(sa.Text))
    created_at: datetime = moment()
    expires_at: datetime = moment()
    revoked_at: datetime | None = moment(default=None)
    pin_locked_at: datetime | None = moment(default=None)


class PinTry(SQLModel, table=True):
    """One try of a PIN, committed before the PIN is looked at. `correct` stays empty when the process died between."""

    __tablename__ = "pin_try"
    __table_args__ = (sa.Index("ix_pin_try_user", "user_id", "tried_at"),)

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="user_account.id")
    token_id: UUID = Field(foreign_key="api_token.id", index=True)
    tried_at: datetime = moment()
    correct: bool | None = None
