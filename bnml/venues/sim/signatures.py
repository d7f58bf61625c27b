"""Signatures of requests: HMAC-SHA256 in hexadecimal; RSA and Ed25519 in base64, checked with a public key."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from enum import StrEnum
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_RAW_ED25519_BYTES = 32


class KeyKind(StrEnum):
    """How the owner of a key signs."""

    HMAC = "HMAC"
    ED25519 = "ED25519"
    RSA = "RSA"


def sign(secret: str, payload: bytes) -> str:
    """HMAC-SHA256 in lower-case hexadecimal."""
    return hmac.digest(secret.encode(), payload, hashlib.sha256).hex()


def sign_ed25519(private_pem: str, payload: bytes) -> str:
    """Ed25519 in base64, as an owner of the private key signs."""
    key = load_pem_private_key(private_pem.encode(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("an Ed25519 private key is needed")
    return b64encode(key.sign(payload)).decode()


def new_ed25519_pair() -> tuple[str, str]:
    """A private and its public key, both PEM."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


def is_signed_by(kind: KeyKind, secret: str, given: str, payload: bytes) -> bool:
    """Whether `given` signs the payload; `secret` is the shared secret, or the public key (PEM)."""
    if kind is KeyKind.HMAC:
        return hmac.compare_digest(given.lower().encode(), sign(secret, payload).encode())
    try:
        signature = b64decode(given, validate=True)
        key = _public(secret)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, payload)
        else:
            key.verify(signature, payload, PKCS1v15(), SHA256())
    except (binascii.Error, InvalidSignature):
        return False
    return True


def public_pem(kind: KeyKind, text: str) -> str:
    """A public key as it was uploaded, as PEM; ValueError when it is none of this kind."""
    if kind is KeyKind.ED25519 and "BEGIN" not in text:
        raw = b64decode(text, validate=True)
        if len(raw) != _RAW_ED25519_BYTES:
            raise ValueError("an Ed25519 public key has 32 bytes")
        key = Ed25519PublicKey.from_public_bytes(raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    try:
        found = _public(text)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    wanted = Ed25519PublicKey if kind is KeyKind.ED25519 else RSAPublicKey
    if not isinstance(found, wanted):
        raise ValueError(f"it is no {kind} public key")  # noqa: TRY004 - bad input, not a bug
    return text


@lru_cache(maxsize=256)
def _public(pem: str) -> Ed25519PublicKey | RSAPublicKey:
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
        raise ValueError("only Ed25519 and RSA public keys are known")  # noqa: TRY004 - bad input, not a bug
    return key
