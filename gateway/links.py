"""Addresses of pages that not every project has."""

from django.urls import NoReverseMatch, reverse


def feature_url(slug: str) -> str:
    """The page of a feature's spend; empty without a feature, and in a project without the dashboards."""
    try:
        return reverse("admin:tollhouse_gateway_feature_spend", args=[slug])
    except NoReverseMatch:
        return ""
