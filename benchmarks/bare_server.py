"""The floor of acknowledging: `python -m benchmarks.bare_server PORT DATABASE_URL`.

One Starlette route that does one INSERT and COMMIT and answers 202. Nothing is checked, sealed or poked.
"""

import sys
from uuid import uuid4

import uvicorn
from psycopg_pool import ConnectionPool
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.errors import AppError
from app.core.listening import Address, Bounds, server_config

TABLE = "CREATE TABLE bare_delivery (id uuid PRIMARY KEY, received_at timestamptz NOT NULL, body bytea NOT NULL)"


def bare_app(pool: ConnectionPool) -> Starlette:
    """Return the bare service."""

    async def receive(request: Request) -> Response:
        await run_in_threadpool(_store, pool, await request.body())
        return Response(status_code=202)

    return Starlette(routes=[Route("/floor", receive, methods=["POST"])])


def _store(pool: ConnectionPool, body: bytes) -> None:
    with pool.connection() as connection:
        connection.execute("INSERT INTO bare_delivery VALUES (%s, now(), %s)", (uuid4(), body))


def _refusal(error: AppError) -> Response:
    return Response(status_code=error.status)


def main() -> None:
    """Serve until terminated."""
    with ConnectionPool(sys.argv[2], min_size=20, max_size=20) as pool:
        address = Address(host="127.0.0.1", port=int(sys.argv[1]))
        uvicorn.Server(server_config(bare_app(pool), address, Bounds(maximum_connections=1_000), _refusal)).run()


if __name__ == "__main__":
    main()
