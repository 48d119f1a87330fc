"""The frame of the admin's pages: ours says Tollhouse, a project's own says what it said before."""

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory

from dashboards.admin_site import TollhouseAdminSite


class ShopAdminSite(AdminSite):
    site_title = site_header = "Shop"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "site, own, other", [(ShopAdminSite(), "Shop", "Tollhouse"), (TollhouseAdminSite(), "Tollhouse", "Shop")]
)
def test_pages_have_the_title_of_their_site_and_our_style(site, own, other):
    request = RequestFactory().get("/admin/")
    request.user = AnonymousUser()
    page = render_to_string("admin/base_site.html", {**site.each_context(request), "title": "Calls"}, request)
    assert f"<title>Calls | {own}</title>" in page and other not in page
    assert "tollhouse/theme.css" in page and ("th-logo" in page) == (own == "Tollhouse")
