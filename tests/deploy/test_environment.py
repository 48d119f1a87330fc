"""What the stand-alone gate reads from its environment."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from deploy.environment import mailers


@pytest.mark.parametrize(
    ("url", "port", "tls", "ssl"),
    [
        ("smtp+tls://gate:p%40ss@mail.example.com", 587, True, False),
        ("smtps://gate:p%40ss@mail.example.com", 465, False, True),
        ("smtp://gate:p%40ss@mail.example.com:2525", 2525, False, False),
    ],
)
def test_a_mail_server(url, port, tls, ssl):
    options = mailers(url)["default"]["OPTIONS"]
    assert (options["host"], options["port"]) == ("mail.example.com", port)
    assert (options["username"], options["password"]) == ("gate", "p@ss")
    assert (options["use_tls"], options["use_ssl"]) == (tls, ssl)


def test_no_mail_server():
    assert mailers("") == {}


@pytest.mark.parametrize(
    "url", ["mail.example.com", "http://gate:sekret@mail.example.com", "smtp://", "smtp://a:b:c", "smtp://[sekret"]
)
def test_what_is_no_mail_server_says_what_to_write_and_repeats_no_password(url):
    with pytest.raises(ImproperlyConfigured, match="smtp\\+tls://") as error:
        mailers(url)
    assert "sekret" not in str(error.value)
    assert error.value.__cause__ is None
