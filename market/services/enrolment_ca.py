"""The small certificate authority by which gateways and services are known to a broker that asks for certificates.

It signs for keys that others have made: a gateway's key never leaves the gateway. A certificate's common name is the
client's name at the broker, and the authority writes it, whatever the request says. Certificates and lists of revoked
ones follow RFC 5280; times are the machine's, since that is what TLS compares them with.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from market.domain.errors import ValidationFailed, Violation
from market.settings import SettingsError, read_secret, write_secret

GATEWAY_LIFETIME: Final = timedelta(days=90)
SERVICE_LIFETIME: Final = timedelta(days=397)
CA_LIFETIME: Final = timedelta(days=3653)
_CLOCK_TOLERANCE: Final = timedelta(minutes=10)
"""A certificate counts from so much before it is made: clocks differ."""
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
MAX_REQUEST_CHARACTERS: Final = 4096


@dataclass(frozen=True)
class EnrolmentCa:
    """Certificate and key of the authority."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, certificate_file: Path, key_file: Path, name: str = "Meritgrid enrolment") -> Self:
        """A new authority in two new files, the key's of mode 600. FileExistsError: one of them is there."""
        if certificate_file.exists():
            raise FileExistsError(f"{certificate_file} is there already: an authority is made once")
        key = ec.generate_private_key(ec.SECP256R1())
        subject, now = _name(name), datetime.now(UTC)
        public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _draft(subject, subject, key.public_key(), now, now + CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_ca=True), critical=True)
            .add_extension(public, critical=False)
            .sign(key, hashes.SHA256())
        )
        with write_secret(key_file) as file:
            file.write(pem_of_key(key))
        certificate_file.write_text(pem_of(certificate), encoding="utf-8")
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate_file: Path, key_file: Path) -> Self:
        """The authority of two files. SettingsError: one is missing or unusable, or they do not belong together."""
        text = read_secret(key_file)
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(text.encode(), None)
        except (OSError, ValueError, TypeError) as problem:
            raise SettingsError(f"{certificate_file} and {key_file} are no enrolment authority: {problem}") from problem
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise SettingsError(f"{key_file} is not the key of {certificate_file}")
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """The authority's certificate, for whoever is to trust what it signs."""
        return pem_of(self.certificate)

    def sign_client(
        self, public_key: ec.EllipticCurvePublicKey, name: str, lifetime: timedelta = SERVICE_LIFETIME
    ) -> x509.Certificate:
        """The certificate by which the client `name` is let in; it never outlives the authority's own."""
        return self._sign(public_key, name, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH)

    def sign_server(self, public_key: ec.EllipticCurvePublicKey, hosts: Iterable[str]) -> x509.Certificate:
        """The broker's own certificate for host names and IP addresses, the first of which is its common name."""
        names = tuple(hosts)
        others = x509.SubjectAlternativeName([_alternative(host) for host in names])
        return self._sign(public_key, names[0], SERVICE_LIFETIME, ExtendedKeyUsageOID.SERVER_AUTH, others)

    def _sign(
        self,
        public_key: ec.EllipticCurvePublicKey,
        name: str,
        lifetime: timedelta,
        usage: x509.ObjectIdentifier,
        others: x509.SubjectAlternativeName | None = None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        end = min(now + lifetime, self.certificate.not_valid_after_utc)
        draft = (
            _draft(_name(name), self.certificate.subject, public_key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if others is not None:
            draft = draft.add_extension(others, critical=False)
        return draft.sign(self.key, hashes.SHA256())

    def revocation_list(
        self, number: int, revoked: Iterable[tuple[int, datetime]], after: datetime | None = None
    ) -> x509.CertificateRevocationList:
        """The list `number` of (serial number, time of revocation).

        after: `last_update` of the list before. OpenSSL, given both, goes by the one with the later time, to the
        second: a list within the same second would not count, so that times are counted on from a minute ago.
        It holds as long as the authority: the broker is told of each new list, and one that ran out would lock
        everybody out.
        """
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
        if after is not None:
            start = max(start, after + timedelta(seconds=1))
        draft = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(start)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial, at in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
            draft = draft.add_revoked_certificate(entry)
        return draft.sign(self.key, hashes.SHA256())


def requested_key(request_pem: str, name: str) -> ec.EllipticCurvePublicKey:
    """The public key of a certificate signing request (PKCS #10) of the client `name`.

    Raises:
        ValidationFailed: it is none, its own key has not signed it (proof of possession), it is for another name, or
            its key is of another kind than P-256 or P-384.
    """

    def refused(rule: str) -> ValidationFailed:
        return ValidationFailed([Violation("/certificate_request", request_pem[:80], rule)])

    try:
        request = x509.load_pem_x509_csr(request_pem[:MAX_REQUEST_CHARACTERS].encode())
        is_signed = request.is_signature_valid
        names = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        key = request.public_key()
    except (ValueError, TypeError, InvalidSignature) as problem:
        raise refused(f"must be a certificate signing request in PEM: {problem}") from problem
    if not is_signed:
        raise refused("must be signed by its own key")
    if names != [name]:
        raise refused(f"must have the common name {name}, not {names}")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, _CURVES):
        raise refused("must be of a key on P-256 or P-384")
    return key


def pem_of(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """A certificate or list as PEM text."""
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM text (PKCS #8), not encrypted: for a file of mode 600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_TOLERANCE)
        .not_valid_after(end)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
