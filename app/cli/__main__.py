"""`python -m app.cli`, which `./run` calls."""

import signal
import sys
from types import FrameType

import click
import psycopg
from sqlalchemy.exc import DBAPIError

from app.cli import histories, keys, restore, service, setting_up
from app.cli.demo import demo
from app.core.embedded import EmbeddedPostgresError
from app.core.errors import AppError
from app.core.settings import SettingsError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Loonstroom: a finished payroll run becomes an approved salary payment, once."""


_COMMANDS = (
    *service.COMMANDS,
    *setting_up.COMMANDS,
    *histories.COMMANDS,
    *keys.COMMANDS,
    *restore.COMMANDS,
    demo,
)
for command in _COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run a command; a refusal is one plain sentence on standard error and exit code 2."""
    # Python would end at once; the embedded PostgreSQL must be left in order.
    signal.signal(signal.SIGTERM, _leave)
    # Started in the background, a shell may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli(prog_name="./run cli")
    except AppError as error:
        faults = "".join(f"\n  {each.pointer}: {each.message}" for each in error.errors)
        click.echo(f"Refused ({error.code}): {error.detail or error.title}{faults}", err=True)
        sys.exit(2)
    except (SettingsError, EmbeddedPostgresError) as error:
        click.echo(f"Cannot start: {error}", err=True)
        sys.exit(2)
    except DBAPIError as error:
        said = _from_database(error)
        if said is None:
            raise
        click.echo(said, err=True)
        sys.exit(2)


def _from_database(error: DBAPIError) -> str | None:
    """Return in words what the database said that an operator can mend; None of a fault of ours."""
    match error.orig:
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return "The database is not at the newest version: run `./run migrate`."
        case psycopg.OperationalError() as refusal:
            first = str(refusal).partition("\n")[0]
            return f"The database does not do this now: {first}. `./run doctor` looks at the rest."
    return None


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


main()
