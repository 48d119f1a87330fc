"""Middleware that tells the gate for whom a request's calls are made."""

from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from gateway.calling import Context, entered
from gateway.conf import settings


class ContextMiddleware:
    """Sets `gateway.context` for the time of a request: its user, and what the setting REQUEST_CONTEXT finds in it.

    Stands behind Django's AuthenticationMiddleware. Both are looked up only when a call is made. The body of a
    StreamingHttpResponse is made after the request has passed; open a `gateway.context` of its own there.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.more = function(settings().REQUEST_CONTEXT)
        self.asynchronous = iscoroutinefunction(get_response)
        if self.asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.asynchronous:
            return self._passed(request)
        with entered(self._known(request, "user")):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _passed(self, request: HttpRequest) -> HttpResponseBase:
        with entered(self._known(request, "auser")):
            response: HttpResponseBase = await self.get_response(request)
            return response

    def _known(self, request: HttpRequest, user: str) -> Context:
        more = partial(self.more, request)
        if not hasattr(request, "user"):
            return Context(more=more)
        # `request.user` is looked up at its first use; `request.auser` is a function.
        return Context(user=request.auser if user == "auser" else lambda: request.user, more=more)


def function(path: str) -> Callable[[HttpRequest], dict[str, Any]]:
    """The function at a dotted path; one that knows nothing for an empty path. Raises ImproperlyConfigured."""
    if not path:
        return lambda request: {}
    module, _, name = path.rpartition(".")
    try:
        found: Callable[[HttpRequest], dict[str, Any]] = getattr(import_module(module), name)
        if not callable(found):
            raise ValueError(f"it is of type {type(found).__name__}")
    except (ImportError, AttributeError, ValueError) as error:
        raise ImproperlyConfigured(
            f"TOLLHOUSE['REQUEST_CONTEXT'] = {path!r} is no function: {error}. Write e.g. \"helpdesk.llm.request_context\"."
        ) from None
    return found
