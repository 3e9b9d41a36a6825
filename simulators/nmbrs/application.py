"""Decides which part answers a request: a service, the control API, or nobody."""

from simulators.nmbrs.contract import SERVICES
from simulators.nmbrs.control import PREFIX, Control
from simulators.nmbrs.endpoint import answer_service
from simulators.nmbrs.exchange import HttpRequest, Reply
from simulators.nmbrs.sender import WebhookSender
from simulators.nmbrs.world import World

_SERVICE_PATHS = {f"/soap/v3/{service}.asmx".lower(): service for service in SERVICES}


class Application:
    """The simulator without its sockets. `base_url` is where it can be reached; WSDLs carry it."""

    def __init__(self, world: World, sender: WebhookSender, base_url: str) -> None:
        self._world = world
        self._control = Control(world, sender)
        self._base_url = base_url

    def answer(self, request: HttpRequest) -> Reply:
        """The answer to any request."""
        if request.path.startswith(PREFIX):
            return self._control.answer(request)
        service = _SERVICE_PATHS.get(request.path.lower())
        if service is None:
            return Reply(status=404, headers={"content-type": "text/plain; charset=utf-8"}, body=b"not found\n")
        return answer_service(self._world, self._base_url, service, request)
