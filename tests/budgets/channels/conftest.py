"""A receiver, a mail server, and the session that channels get."""

import ssl
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.providers.connect import connector
from tests.budgets.channels.receiver import MailServer, Receiver


@pytest.fixture
async def receiver():
    async with Receiver() as found:
        yield found


@pytest.fixture
async def stranger(tmp_path):
    """A receiver with a certificate that it made itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    format = serialization.PrivateFormat.PKCS8
    pieces = [
        made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, format, serialization.NoEncryption()),
    ]
    file = tmp_path / "certificate.pem"
    file.write_bytes(b"".join(pieces))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    async with Receiver(tls) as found:
        yield found


@pytest.fixture
async def mail_server():
    async with MailServer() as found:
        yield found


@pytest.fixture
async def http():
    """A session that may connect to this machine, where the receivers are."""
    async with aiohttp.ClientSession(connector=connector(allow_private=True)) as session:
        yield session


@pytest.fixture
async def guarded():
    """A session as it is in production: to the public internet only."""
    async with aiohttp.ClientSession(connector=connector(allow_private=False)) as session:
        yield session
