"""A certificate authority for one federation, and the SuperLink's certificate from it."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pride_jax.aggregation.owner_only import write_owner_only
from pride_jax.files import write_atomically

AUTHORITY = "ca.crt"
CERTIFICATE = "server.crt"
KEY = "server-key.pem"
_VALID = datetime.timedelta(days=825)


def make_certificates(folder: Path, hosts: list[str]) -> None:
    """Writes ``ca.crt``, for everyone, and the SuperLink's certificate and key.

    The folder is then its owner's alone.

    The authority's own key signs this one certificate and is forgotten: make new ones instead.

    Args:
      folder: the server's.
      hosts: names and addresses under which nodes reach it; ``127.0.0.1`` is always among them,
        since Flower's own processes speak with one another there.

    Raises:
      PrideError: the files cannot be written, or there are some.
    """
    authority, key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pride_jax federation")])
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    root = (
        _builder(name, name, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority, SHA256())
    )
    names = dict.fromkeys([*hosts, "127.0.0.1", "localhost"])
    certificate = (
        _builder(own, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
        .sign(authority, SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    # The SuperLink's log and database, which come here, tell whom the server called.
    folder.chmod(0o700)
    write_owner_only(
        folder / "secrets" / KEY,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    write_atomically(folder / AUTHORITY, root.public_bytes(Encoding.PEM))
    write_atomically(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
