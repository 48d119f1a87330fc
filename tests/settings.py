"""The product's settings on a database of its own, with passwords hashed cheaply."""

import os
from pathlib import Path

os.environ.setdefault("TOLLHOUSE_STATE_DIR", str(Path(__file__).resolve().parent.parent / ".tollhouse" / "test"))

from deploy.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEBUG = False
TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": True}
INSTALLED_APPS = ["tests", *INSTALLED_APPS]  # noqa: F405
