"""Settings of the stand-alone gate: everything comes from the environment, each default is safe.

`DJANGO_DEBUG`, `DJANGO_SECRET_KEY`, `DJANGO_ALLOWED_HOSTS`, `DATABASE_URL`, `DJANGO_EMAIL_URL` and one `TOLLHOUSE_<NAME>`
for each entry of `gateway.conf.TollhouseSettings`.
"""

import os
from pathlib import Path

import dj_database_url
from django.utils.csp import CSP

from deploy.environment import flag, mailers, secret_key, tollhouse_from_environment
from deploy.postgres import database_url

BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(os.environ.get("TOLLHOUSE_STATE_DIR", BASE_DIR / ".tollhouse"))

DEBUG = flag("DJANGO_DEBUG", default=False)
SECRET_KEY = secret_key(STATE_DIR)
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("DJANGO_CSRF_TRUSTED_ORIGINS", "").split(",") if o]

INSTALLED_APPS = [
    # Before the admin, whose templates it replaces.
    "dashboards.apps.DashboardsConfig",
    "dashboards.admin_site.TollhouseAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "gateway.apps.GatewayConfig",
    "budgets.apps.BudgetsConfig",
    "redaction.apps.RedactionConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "deploy.urls"
ASGI_APPLICATION = "deploy.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DEFAULT_EXCEPTION_REPORTER_FILTER = "deploy.report.Filter"

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "img-src": [CSP.SELF, "data:"],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}

DATABASES = {"default": dj_database_url.parse(database_url(STATE_DIR), conn_max_age=0)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Users who are limited to tenants: the first of these takes permissions away, so it stands before what gives them.
AUTHENTICATION_BACKENDS = ["gateway.access.TenantLimits", "django.contrib.auth.backends.ModelBackend"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = os.environ.get("DJANGO_TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["dashboards.formats"]

STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"

# The server that alerts by email go through, e.g. smtp+tls://user:password@mail.example.com:587
MAILERS = mailers(os.environ.get("DJANGO_EMAIL_URL", ""))
# Without one there is no email, which the admin says where a channel needs it.
SILENCED_SYSTEM_CHECKS = [] if MAILERS else ["mail.W001"]
DEFAULT_FROM_EMAIL = SERVER_EMAIL = os.environ.get("DJANGO_FROM_EMAIL", "tollhouse@localhost")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("DJANGO_SECURE_COOKIES", default=False)
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if flag("DJANGO_BEHIND_TLS_PROXY", default=False) else None
)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("DJANGO_LOG_LEVEL", "INFO")},
}

# Without DATABASE_URL everything is on this machine, and models of one's own are too.
TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": "DATABASE_URL" not in os.environ, **tollhouse_from_environment()}
