"""The product's settings on a database of its own, with passwords hashed cheaply."""

import os
from pathlib import Path

os.environ.setdefault("TOLLHOUSE_STATE_DIR", str(Path(__file__).resolve().parent.parent / ".tollhouse" / "test"))

from deploy.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEBUG = False
# The heartbeat of this process must be heard by the servers that tests start, which bury their dead sooner.
TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": True, "OWNER_HEARTBEAT_S": 0.5}
INSTALLED_APPS = ["tests", *INSTALLED_APPS]  # noqa: F405
