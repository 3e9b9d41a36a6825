"""Routes: which function answers which method and path, and how its answer is written."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from simulators.bank.books import NoSuchUpload, NotNow
from simulators.nmbrs.exchange import HttpRequest, Reply

SERVER = {"server": "bank-simulator"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as a handler sees it: the names in its path, its query and its body."""

    names: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def upload_id(self) -> int:
        """The upload in the path."""
        return int(self.names["upload_id"])


Handler = Callable[[Asked], Reply]
Route = tuple[str, re.Pattern[str], Handler]


def route(method: str, path: str, handler: Handler) -> Route:
    """A route; `{upload_id}` in the path is a number."""
    return method, re.compile(path.replace("{upload_id}", "(?P<upload_id>[0-9]{1,10})")), handler


def answer(routes: Sequence[Route], request: HttpRequest) -> Reply:
    """The answer of the route that fits; 404, 405, 409 or 422 with the reason when there is none."""
    matches = [(method, match, handler) for method, path, handler in routes if (match := path.fullmatch(request.path))]
    for method, match, handler in matches:
        if method == request.method:
            return _handled(handler, Asked(names=match.groupdict(), query=request.query, body=request.body))
    if matches:
        return as_json(405, {"error": f"for this path: {', '.join(sorted({method for method, _, _ in matches}))}"})
    return as_json(404, {"error": f"nothing is at {request.path}"})


def as_json(status: int, content: object) -> Reply:
    """An answer in JSON."""
    headers = {**SERVER, "content-type": "application/json; charset=utf-8"}
    return Reply(status=status, headers=headers, body=json.dumps(content).encode())


def _handled(handler: Handler, asked: Asked) -> Reply:
    try:
        return handler(asked)
    except NoSuchUpload as error:
        return as_json(404, {"error": str(error)})
    except NotNow as error:
        return as_json(409, {"error": str(error)})
    except ValidationError as error:
        return as_json(422, {"error": error.errors(include_url=False, include_context=False, include_input=False)})
