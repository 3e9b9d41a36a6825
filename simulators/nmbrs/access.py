"""Who may call what, in Nmbrs' order: the login (1001), the right (1002), the data (1003, or 2003, 2004, 2009)."""

from collections.abc import Iterator
from dataclasses import dataclass

from simulators.nmbrs.contract import HeaderKind, Operation
from simulators.nmbrs.data import Company, Debtor, Employee, Environment, User
from simulators.nmbrs.soap import Credentials, NmbrsFault
from simulators.nmbrs.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user who proved its token, in its environment."""

    environment: Environment
    user: User

    # A login limited to companies does not reach the level of debtors at all.
    def debtors(self) -> Iterator[Debtor]:
        """The debtors the user sees."""
        if self.user.accountant or self.user.company_ids is None:
            yield from self._debtors_in_scope()

    def companies(self) -> Iterator[Company]:
        """The companies the user sees."""
        for debtor in self._debtors_in_scope():
            for company in debtor.companies:
                if self.user.company_ids is None or company.id in self.user.company_ids:
                    yield company

    def debtor(self, debtor_id: int) -> Debtor:
        """One debtor. Raises fault 1003 when it is outside the user's tag, 2009 when there is none."""
        for debtor in self.debtors():
            if debtor.id == debtor_id:
                return debtor
        raise _refusal(2009, exists=any(debtor.id == debtor_id for debtor in self.environment.debtors))

    def company(self, company_id: int) -> Company:
        """One company. Raises fault 1003 when it is outside the user's tag or filter, 2004 when there is none."""
        for company in self.companies():
            if company.id == company_id:
                return company
        raise _refusal(2004, exists=any(company.id == company_id for company in self._all_companies()))

    def employee(self, employee_id: int) -> Employee:
        """One employee. Raises fault 1003 or 2003."""
        for company in self.companies():
            for employee in company.employees:
                if employee.id == employee_id:
                    return employee
        everybody = (employee for company in self._all_companies() for employee in company.employees)
        raise _refusal(2003, exists=any(employee.id == employee_id for employee in everybody))

    def _debtors_in_scope(self) -> Iterator[Debtor]:
        for debtor in self.environment.debtors:
            if self.user.debtor_ids is None or debtor.id in self.user.debtor_ids:
                yield debtor

    def _all_companies(self) -> Iterator[Company]:
        for debtor in self.environment.debtors:
            yield from debtor.companies


def sign_in(world: World, operation: Operation, credentials: Credentials) -> Login:
    """The login behind the header. Raises fault 1001 for a wrong header, user, token or domain, 1002 for a right."""
    login = _login(world, operation, credentials)
    if operation.key in login.user.rights_off:
        raise NmbrsFault(1002, "Unauthorized access")
    return login


def _login(world: World, operation: Operation, credentials: Credentials) -> Login:
    if credentials.kind is operation.header:
        for environment in world.environments:
            if operation.header is HeaderKind.WITH_DOMAIN and environment.domain != credentials.domain:
                continue
            for user in environment.users:
                if (user.username, user.token) == (credentials.username, credentials.token):
                    return Login(environment=environment, user=user)
    raise NmbrsFault(1001, "Invalid Authentication")


def _refusal(code: int, *, exists: bool) -> NmbrsFault:
    if exists:
        return NmbrsFault(1003, "Unauthorized access to these data")
    messages = {2003: "employee", 2004: "company", 2009: "debtor"}
    return NmbrsFault(code, f"Unauthorized access or invalid {messages[code]} id")
