"""The address that is pasted in Nmbrs: check the token, store what came, answer. Everything else happens later.

The token is checked before the body is read. A body that is too large or too slow is recorded without it, and the
source is poked all the same. Never a refusal because a body cannot be understood: the sender might switch the webhook
off. A connection that is called more often than its bucket allows gets 429; its body is not read, but a mark is
committed and the source is poked, so the run is found by that look, and otherwise by the poll.
"""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.core.database import transaction
from app.core.errors import NotFound, PayloadTooLarge, RequestTimeout, TooManyRequests
from app.core.exchange import DEFAULT_BODY_BYTES, DEFAULT_READ_SECONDS
from app.core.rate_limits import too_many
from app.core.web import edge_problems, problem_response
from app.payments.context import Context
from app.payments.webhook_deliveries import Address, Delivered, find_address, note_excess
from app.webhooks.addresses import KnownAddresses
from app.webhooks.admission import Admission
from app.webhooks.together import Together

_LONGEST_TOKEN = 200
_KEPT_HEADERS = frozenset({"content-type", "content-length", "user-agent", "x-request-id", "x-event", "x-signature"})
_LONGEST_HEADER = 300
_LONGEST_QUERY = 4_000


class _BareRoute(APIRoute):
    """A route that calls its function and nothing else: working out what to call it with took longer than the call."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself, with what the path holds."""

        async def handle(request: Request) -> Response:
            answer: Response = await self.endpoint(request, **request.path_params)
            return answer

        return handle


routes = APIRouter(tags=["webhooks"], route_class=_BareRoute)
_PATH = "/client/{webhook_token}/webhooks/paymentsbatch"


_ANSWERS: dict[int | str, dict[str, Any]] = {
    **edge_problems(NotFound, TooManyRequests),
    202: {"description": "Stored; the source will be asked"},
}


async def receive(request: Request, webhook_token: str) -> Response:
    """Take a webhook of a payroll package; 202 once it is stored, 404 for an address that is not in use."""
    context = cast("Context", request.app.state.context)
    known = cast("KnownAddresses", request.app.state.known_addresses)
    address = known.get(webhook_token) or await run_in_threadpool(_find, context, webhook_token)
    if address is None:
        return _not_in_use()
    if not await _admitted(request, context, address):
        return problem_response(too_many(request.app.state.admission.rate))
    body, state = await _read(request)
    delivered = _described(request, address, body=body, state=state)
    if not await cast("Together", request.app.state.together).store(delivered):
        known.forget(webhook_token)
        return _not_in_use()
    known.add(webhook_token, address)
    if state == "too_large":
        return problem_response(PayloadTooLarge(f"At most {DEFAULT_BODY_BYTES} bytes; the call itself was noted."))
    if state == "too_slow":
        return problem_response(
            RequestTimeout(f"Send the body within {DEFAULT_READ_SECONDS:.0f} s; the call itself was noted.")
        )
    return Response(status_code=202)


async def _admitted(request: Request, context: Context, address: Address) -> bool:
    """Take one webhook out of the connection's bucket. When it is empty the call is noted, and the poke committed."""
    admission = cast("Admission", request.app.state.admission)
    if await admission.admit(context.engine, address.connection_id, context.now()):
        return True
    excess = _described(request, address, body=b"", state="too_many")
    await run_in_threadpool(note_excess, context, excess)
    return False


for _method in ("POST", "PUT", "GET"):
    routes.add_api_route(
        _PATH,
        receive,
        methods=[_method],
        status_code=202,
        responses=_ANSWERS,
        response_class=Response,
        operation_id=f"receive_webhook_{_method.lower()}",
    )


@routes.api_route(_PATH, methods=["HEAD", "OPTIONS"], include_in_schema=False)
async def probe(request: Request, webhook_token: str) -> Response:
    """Answer a probe of the address."""
    address = await run_in_threadpool(_find, cast("Context", request.app.state.context), webhook_token)
    if address is None:
        return _not_in_use()
    return Response(status_code=200, headers={"Allow": "POST, PUT, GET, HEAD, OPTIONS"})


def _not_in_use() -> Response:
    return problem_response(NotFound("This webhook address is not in use."))


def _find(context: Context, text: str) -> Address | None:
    if len(text) > _LONGEST_TOKEN:
        return None
    with transaction(context.engine) as session:
        return find_address(context, session, text)


def _described(request: Request, address: Address, *, body: bytes, state: str) -> Delivered:
    return Delivered(
        address=address,
        method=request.method,
        headers=_kept_headers(request),
        query=_printable(request.scope["query_string"].decode("latin-1"))[:_LONGEST_QUERY],
        body=body,
        body_state=state,
    )


async def _read(request: Request) -> tuple[bytes, str]:
    """Read what the edge lets through; its deadline counts from the request's head, whatever we did before reading."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
    except PayloadTooLarge:
        return b"", "too_large"
    except (RequestTimeout, ClientDisconnect):
        return b"", "too_slow"
    return bytes(body), "complete"


def _kept_headers(request: Request) -> dict[str, str]:
    return {
        name: _printable(value)[:_LONGEST_HEADER] for name, value in request.headers.items() if name in _KEPT_HEADERS
    }


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "?" for character in text)
