"""The doctor says what is wrong with an installation, and what to do about it."""

from dataclasses import replace

from app.cli.service import diagnoses
from app.core.database import transaction
from app.core.settings import Environment
from app.main import Service
from app.payments import holds


def test_a_hold_on_everything_is_told(service: Service) -> None:
    """Who looks at night why nobody can be paid reads it here, with the command that says more."""
    before = dict(diagnoses(service))
    with transaction(service.context.engine) as session:
        holds.place_on_system(service.context, session, code="release_counter_lost", reason="Gone")

    told = dict(diagnoses(service))["payments"]

    assert before["payments"] is None
    assert told is not None
    assert "release_counter_lost" in told
    assert "./run cli restore status" in told


def test_an_address_that_nmbrs_cannot_call_is_told_in_production(service: Service) -> None:
    """Webhook addresses begin with it, and Nmbrs takes https only; on one's own machine anything goes."""
    production = replace(service, settings=service.settings.model_copy(update={"environment": Environment.PRODUCTION}))
    good = production.settings.model_copy(update={"public_url": "https://loon.voorbeeld.nl"})

    told = [dict(diagnoses(each))["address"] for each in (service, production, replace(production, settings=good))]

    assert (told[0], told[2]) == (None, None)
    assert "LOONSTROOM_PUBLIC_URL" in (told[1] or "")
