"""Middleware that tells the gate for whom a request's calls are made."""

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from gateway.calling import context
from gateway.conf import settings


class ContextMiddleware:
    """Sets `gateway.context` for the time of a request: its user, and what the setting REQUEST_CONTEXT finds in it.

    Stands behind Django's AuthenticationMiddleware. The user is looked up only when a call is made. The body of a
    StreamingHttpResponse is made after the request has passed; open a `gateway.context` of its own there.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.more = _function(settings().REQUEST_CONTEXT)
        self.asynchronous = iscoroutinefunction(get_response)
        if self.asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.asynchronous:
            return self._passed(request)
        with context(**self._known(request, "user")):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _passed(self, request: HttpRequest) -> HttpResponseBase:
        with context(**self._known(request, "auser")):
            response: HttpResponseBase = await self.get_response(request)
            return response

    def _known(self, request: HttpRequest, user: str) -> dict[str, Any]:
        if not hasattr(request, "user"):
            return self.more(request)
        found = getattr(request, user)
        # `request.user` is looked up at its first use; `request.auser` is a function.
        return {"user": found if user == "auser" else lambda: request.user, **self.more(request)}


def _function(path: str) -> Callable[[HttpRequest], dict[str, Any]]:
    if not path:
        return lambda request: {}
    module, _, name = path.rpartition(".")
    try:
        function: Callable[[HttpRequest], dict[str, Any]] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"TOLLHOUSE['REQUEST_CONTEXT'] = {path!r} is no function: {error}. Write e.g. \"helpdesk.llm.request_context\"."
        ) from None
    return function
