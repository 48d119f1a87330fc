"""Addresses are those of RFC 8785."""

import hashlib

import pytest

from gateway.prompts.address import address


def test_the_order_of_keys_does_not_matter_and_content_does():
    assert address({"a": 1, "b": [1.0, "ü"]}) == address({"b": [1, "ü"], "a": 1})
    assert address({"a": 1}) != address({"a": 2})


def test_it_is_the_sha256_of_the_canonical_form():
    # RFC 8785: keys sorted by UTF-16 code units, numbers as ECMAScript writes them, no white space.
    assert address({"b": 1e21, "a": "€"}) == hashlib.sha256('{"a":"€","b":1e+21}'.encode()).hexdigest()


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="canonical JSON"):
        address({"a": float("nan")})
