"""The gateway's key and certificate for a broker that asks for certificates, in one file of mode 600.

The key is made here and never leaves the gateway: the market gets a request that the key has signed, and answers with a
certificate. Key and certificate stand in one file, so that the two can never be of different makings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway_agent.configuration import BadConfiguration
from gateway_agent.identity import read_secret, write_secret


@dataclass(frozen=True)
class Request:
    """A fresh key and the request (PKCS #10, PEM) that it has signed."""

    key: ec.EllipticCurvePrivateKey
    pem: str

    @classmethod
    def new(cls, gateway: str) -> Self:
        """For the gateway with this address, which is its name at the broker in lower case."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway.lower())])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        return cls(key, request.public_bytes(serialization.Encoding.PEM).decode())

    def keep(self, path: Path, certificate_pem: str) -> x509.Certificate:
        """Write the key with its certificate; BadConfiguration where the certificate is not for this key."""
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
        except ValueError as problem:
            raise BadConfiguration(f"the market's answer holds no certificate: {problem}") from None
        if certificate.public_key() != self.key.public_key():
            raise BadConfiguration("the market's answer holds a certificate of another key")
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_secret(path, key.decode() + certificate_pem)
        return certificate


def lifetime_of(path: Path) -> tuple[datetime, datetime]:
    """From when to when the certificate of a file holds. UnsafeFile, BadConfiguration, FileNotFoundError."""
    try:
        certificate = x509.load_pem_x509_certificate(read_secret(path).encode())
    except ValueError as problem:
        raise BadConfiguration(f"{path} holds no certificate: {problem}; enrol the gateway again") from None
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
