"""The ASGI application: the data plane in front of Django, in one process."""

import os
from functools import partial

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")
django = get_asgi_application()

from gateway.http.app import data_plane  # noqa: E402  (Django's apps must be loaded before our models)
from gateway.telemetry import own  # noqa: E402

application = data_plane(django, start=partial(own.start, "server"), stop=own.stop)
