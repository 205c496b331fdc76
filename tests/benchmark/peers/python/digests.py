"""The hashes behind ids and keys, equal to those of the Rust crate `onboarding`."""

import hashlib
import uuid


def digest(*parts: bytes) -> bytes:
    """The SHA-256 of these parts, each after its length."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.digest()


def hex_digest(*parts: bytes) -> str:
    return digest(*parts).hex()


def uuid_of(*parts: bytes) -> str:
    """A UUID of version 8 from these parts."""
    half = bytearray(digest(*parts)[:16])
    half[6] = (half[6] & 0x0F) | 0x80
    half[8] = (half[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(half)))
