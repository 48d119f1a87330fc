"""The admin of Tollhouse: Django's, with the product's name and colours."""

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class TollhouseAdminSite(AdminSite):
    site_header = "Tollhouse"
    site_title = "Tollhouse"
    index_title = "The gate"


class TollhouseAdminConfig(AdminConfig):
    default_site = "dashboards.admin_site.TollhouseAdminSite"
