"""The one place that builds and knows everything: settings in, a service out."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom

import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from app.auth import api as auth_api
from app.auth.web import actor_of
from app.core.clock import Clock, utc_now
from app.core.database import create_engine
from app.core.edge import Edge
from app.core.exchange import BodyLimit
from app.core.ids import new_id
from app.core.listening import Address, Bounds, server_config
from app.core.migrating import Standing, standing
from app.core.rate_limits import Rate
from app.core.release_counter import ReleaseCounter
from app.core.resealing import sealing_name
from app.core.settings import Settings
from app.core.web import add_error_handlers, edge_problems, problem_response
from app.jobs.working import Work, keep_working
from app.nmbrs.source import NmbrsSoapKind
from app.payments.api import accounts, bank, batches, comparison, connections, history, people, privacy, unpaid
from app.payments.context import Context, Policy
from app.payments.ports import BankChannel, SourceKind
from app.payments.tasks import work
from app.payments.webhook_deliveries import record_deliveries
from app.webhooks import api as webhooks_api
from app.webhooks.addresses import KnownAddresses
from app.webhooks.admission import Admission
from app.webhooks.together import Together

MAXIMUM_FILE_BYTES = 32 * 1024 * 1024
_FILE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that is built but not yet running."""

    context: Context
    work: Work
    conninfo: str
    settings: Settings


def build(
    settings: Settings,
    *,
    database_url: str,
    clock: Clock = utc_now,
    sources: Mapping[str, SourceKind] | None = None,
    channels: Mapping[str, BankChannel] | None = None,
) -> Service:
    """Build everything from the settings; tests give a clock and sources of their own."""
    request_engine, service_engine = (
        create_engine(
            _named(database_url, settings),
            pool_size=settings.database_pool_size,
            history_keys=settings.history_keys,
            is_service=is_service,
        )
        for is_service in (False, True)
    )
    context = Context(
        engine=service_engine,
        request_engine=request_engine,
        service_engine=service_engine,
        clock=clock,
        new_id=new_id,
        keyring=settings.keyring,
        identifier_secret=settings.identifier_secret,
        sources=default_sources(settings, clock) if sources is None else sources,
        channels={} if channels is None else channels,
        releases=ReleaseCounter(settings.release_counter_path),
        policy=Policy(
            environment=settings.environment.value,
            freshness_timeout_seconds=settings.freshness_timeout_seconds,
            poll_interval_seconds=settings.poll_interval_seconds,
            poke_delay_seconds=settings.poke_delay_seconds,
            webhook_token_grace_hours=settings.webhook_token_grace_hours,
            public_url=settings.public_url,
        ),
    )
    return Service(context=context, work=work(context), conninfo=conninfo(database_url), settings=settings)


def _named(database_url: str, settings: Settings) -> str:
    """Return the address with a name for its sessions, which tells `keys rotate` what this process seals with."""
    named = sa.make_url(database_url).update_query_dict({"application_name": sealing_name(settings.keyring.current)})
    return named.render_as_string(hide_password=False)


def default_sources(settings: Settings, clock: Clock) -> Mapping[str, SourceKind]:
    """Return the payroll sources that can be connected. A new one is a package registered here."""
    nmbrs = NmbrsSoapKind(
        base_url=settings.nmbrs_soap_url,
        clock=clock,
        pause=time.sleep,
        jitter=SystemRandom().random,
        call_timeout_seconds=settings.nmbrs_timeout_seconds,
    )
    return {nmbrs.name: nmbrs}


def conninfo(database_url: str) -> str:
    """Return the same database as libpq writes it, for the job engine."""
    return sa.make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def create_app(service: Service, *, with_worker: bool) -> FastAPI:
    """Return the web service; with a worker beside it in the same process when asked."""
    shows_docs = service.settings.shows_api_docs
    app = FastAPI(
        title="Loonstroom",
        summary="A finished payroll run becomes an approved salary payment, once.",
        version="0.1.0",
        docs_url="/docs" if shows_docs else None,
        redoc_url=None,
        redirect_slashes=False,
        openapi_url="/openapi.json" if shows_docs else None,
        lifespan=_lifespan(service) if with_worker else None,
    )
    app.state.context = service.context
    app.state.service_engine = service.context.service_engine
    app.state.request_engine = service.context.request_engine
    app.state.clock = service.context.clock
    app.state.identifier_secret = service.context.identifier_secret
    app.state.known_addresses = KnownAddresses()
    app.state.api_rate, webhook_rate = _rates(service.settings)
    app.state.admit = actor_of
    app.state.admission = Admission(webhook_rate)
    app.state.together = Together(partial(record_deliveries, service.context))
    add_error_handlers(app)
    for routes in (
        webhooks_api.routes,  # first: routes are tried in order, and these are called most
        auth_api.routes,
        accounts.routes,
        connections.routes,
        batches.routes,
        bank.routes,
        unpaid.routes,
        people.routes,
        privacy.routes,
        comparison.routes,
        history.routes,
    ):
        app.include_router(routes)
    _add_probes(app, service)
    app.add_middleware(
        Edge,
        render=problem_response,
        over_tls=service.settings.public_url.startswith("https://"),
        limits=(
            BodyLimit(
                path=re.compile(r"/(payroll-files|status-reports|payment-files/comparison)$"),
                bytes=MAXIMUM_FILE_BYTES,
                seconds=_FILE_SECONDS,
            ),
        ),
    )
    return app


def create_server(
    service: Service, app: FastAPI, *, host: str | None = None, port: int | None = None
) -> uvicorn.Server:
    """Return the server that listens for the app; host and port may differ from the settings."""
    settings = service.settings
    address = Address(
        host=host or settings.host,
        port=settings.port if port is None else port,
        trusted_proxies=settings.trusted_proxies,
    )
    bounds = Bounds(maximum_connections=settings.maximum_connections)
    return uvicorn.Server(server_config(app, address, bounds, problem_response))


def _rates(settings: Settings) -> tuple[Rate, Rate]:
    api = Rate(per_second=settings.api_requests_per_second, at_once=settings.api_requests_at_once)
    return api, Rate(per_second=settings.webhooks_per_second, at_once=settings.webhooks_at_once)


def _lifespan(service: Service) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(_app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(
            keep_working(service.conninfo, service.work, concurrency=service.settings.worker_concurrency)
        )
        yield
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker

    return run


_NOT_READY = {"description": "Not ready, with the reason"}


def _add_probes(app: FastAPI, service: Service) -> None:
    engine = service.context.engine

    @app.get("/healthz", tags=["probes"], responses=edge_problems())
    async def healthz() -> dict[str, str]:  # on the loop: it must not wait for a thread that others keep busy
        """Live: this process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["probes"], responses=edge_problems() | {503: _NOT_READY})
    def readyz() -> Response:
        """Ready: the database answers and stands at the newest migration that this version knows, or at a newer one."""
        try:
            ready, reason = standing(engine) is not Standing.OLDER, "migrations are not at head; run `migrate`"
        except SQLAlchemyError:
            ready, reason = False, "the database does not answer"
        return JSONResponse(
            {"status": "ready"} if ready else {"status": "not ready", "reason": reason}, 200 if ready else 503
        )

    @app.get("/metrics", tags=["probes"], responses=edge_problems(), response_class=Response)
    def metrics() -> Response:
        """Prometheus figures: counts only, nothing of any employer."""
        return Response(generate_latest(_figures(service)) + generate_latest(), media_type=CONTENT_TYPE_LATEST)


# Also one that has to pass its check (again) before anything is fetched through it. One that nothing is linked to yet
# is still being set up, and nobody waits for it. No fault is written as the null of JSON, which is not NULL.
CONNECTIONS_WITH_FAULT = (
    "SELECT count(*) FROM connection WHERE deleted_at IS NULL AND (fault <> 'null' OR "
    "(kind <> 'upload' AND state <> 'passed' AND EXISTS (SELECT FROM administration JOIN administration_link "
    "ON administration_link.administration_id = administration.id WHERE administration.connection_id = connection.id)))"
)
_COUNTS = {
    "loonstroom_webhook_deliveries_unprocessed": (
        "Webhooks that were stored and not looked at yet",
        (  # nobody looks at those of a connection that ended
            "SELECT count(*) FROM webhook_delivery JOIN connection ON connection.id = webhook_delivery.connection_id "
            "WHERE processed_at IS NULL AND deleted_at IS NULL"
        ),
    ),
    "loonstroom_payroll_runs_failed": (
        "Runs that a person must look at",
        "SELECT count(*) FROM payroll_run WHERE state IN ('failed', 'doubtful')",
    ),
    "loonstroom_payment_batches_pending": (
        "Batches that wait for approval",
        "SELECT count(*) FROM payment_batch WHERE status = 'pending'",
    ),
    "loonstroom_connections_with_fault": (
        "Connections whose last question failed, and linked ones that did not pass their check",
        CONNECTIONS_WITH_FAULT,
    ),
    "loonstroom_system_holds": (
        "Holds that bar every payment of this installation",
        "SELECT count(*) FROM hold WHERE scope = 'system' AND lifted_at IS NULL",
    ),
    "loonstroom_jobs_failed": (
        "Jobs that failed for good, however often they were tried",
        "SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'",
    ),
    "loonstroom_jobs_waiting": (
        "Jobs that wait for a worker",
        "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'",
    ),
}


def _figures(service: Service) -> CollectorRegistry:
    registry = CollectorRegistry()
    with service.context.engine.connect() as connection:
        for name, (meaning, query) in _COUNTS.items():
            Gauge(name, meaning, registry=registry).set(connection.execute(sa.text(query)).scalar_one())
    return registry
