#!/usr/bin/env python
"""Django's command line for this project; finds or starts the embedded PostgreSQL when DATABASE_URL is unset."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError


def main() -> int:
    """Runs the command; a wrong configuration and a database that is away are told in one line each."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
    except OperationalError as error:
        where = (
            "DATABASE_URL"
            if os.environ.get("DATABASE_URL")
            else "the embedded PostgreSQL (postgres/log in its state directory)"
        )
        print(f"The database does not answer; check {where}: {str(error).splitlines()[0]}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
