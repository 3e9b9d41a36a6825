"""What people type to connect Nmbrs, made usable or refused. Nothing typed is ever repeated in a refusal."""

import re
from typing import Final

from app.core.errors import Invalid, Problem
from app.payments.ports import SourceCredentials

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
# A host, alone or in a pasted address; nothing that could hide another host before or after it.
_ADDRESS: Final = re.compile(r"(?:https?://)?([a-z0-9.-]+)(?::[0-9]{1,5})?(?:[/?#].*)?")
_PARENTS: Final = (".nmbrs.nl", ".nmbrs.se")
_LONGEST_EMAIL: Final = 254
_LONGEST_TOKEN: Final = 500
_LONGEST_ADDRESS: Final = 2000


def check_credentials(credentials: SourceCredentials) -> SourceCredentials:
    """Return the credentials with blanks at the ends gone and the domain cut to its label (`kantoor`).

    A pasted host (`kantoor.nmbrs.nl`) or address is accepted as domain. Raises `Invalid` with a problem for each field.
    """
    username, token = credentials.username.strip(), credentials.secret.strip()
    label = domain_label(credentials.domain)
    problems = []
    if len(username) > _LONGEST_EMAIL or not username.isprintable() or not _EMAIL.fullmatch(username):
        problems.append(
            Problem(pointer="/username", code="not_an_email", message="Give the e-mail address of the user.")
        )
    if not token or len(token) > _LONGEST_TOKEN or not token.isprintable():
        problems.append(
            Problem(
                pointer="/token", code="token_unusable", message="Give the API token as Nmbrs shows it, on one line."
            )
        )
    if label is None:
        message = "Give what stands before .nmbrs.nl in the browser: for https://kantoor.nmbrs.nl that is kantoor."
        problems.append(Problem(pointer="/domain", code="domain_unusable", message=message))
    if problems or label is None:
        raise Invalid("These credentials cannot be used.", errors=problems)
    return SourceCredentials(username=username, secret=token, domain=label)


def domain_label(typed: str) -> str | None:
    """Return the sub-domain in what somebody typed or pasted, lower case; None when it is no sub-domain of Nmbrs."""
    text = typed.strip().lower()
    if len(text) > _LONGEST_ADDRESS:
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    host = found.group(1)
    for parent in _PARENTS:
        host = host.removesuffix(parent)
    return host if _LABEL.fullmatch(host) else None
