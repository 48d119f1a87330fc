"""The ASGI application: the data plane in front of Django, in one process."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")
django = get_asgi_application()

from gateway.http.app import data_plane  # noqa: E402  (Django's apps must be loaded before our models)

application = data_plane(django)
