"""An issuer of JWTs for tests, and the JWTs that attackers make."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER, AUDIENCE = "https://issuer.test", "artemis.test"
Key = ec.EllipticCurvePrivateKey | RSAPrivateKey


class Issuer:
    """Signs JWTs with a key of this id."""

    def __init__(self, kid: str = "key-1", key: Key | None = None, algorithm: str = "ES256") -> None:
        self.kid = kid
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.algorithm = algorithm

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Returns the public key as a JSON Web Key."""
        kind = jwt.algorithms.get_default_algorithms()[self.algorithm]
        public: dict[str, Any] = json.loads(kind.to_jwk(self.key.public_key()))
        return {**public, "kid": self.kid, **changes}

    def key_set(self, *others: "Issuer") -> bytes:
        """Returns a JSON Web Key Set of its key and those of others."""
        return json.dumps({"keys": [each.jwk() for each in (self, *others)]}).encode()

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """Returns a JWT of a reader that is valid for five minutes, but for the claims that are changed or None."""
        claims = claims_of(**changes)
        headers = {"kid": self.kid, **(header or {})}
        return jwt.encode(claims, self.key, self.algorithm, headers=headers)

    def confused(self) -> str:
        """Returns a JWT that is signed by HS256, with the public key for the secret (RFC 8725, 2.1)."""
        secret = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signed = f"{encoded({'alg': 'HS256', 'kid': self.kid})}.{encoded(claims_of())}"
        return f"{signed}.{in_base64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"

    def unsigned(self) -> str:
        """Returns a JWT of the algorithm `none`."""
        return f"{encoded({'alg': 'none', 'kid': self.kid})}.{encoded(claims_of())}."


def claims_of(**changes: Any) -> dict[str, Any]:
    """Returns the claims of a JWT, without those that are None."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, "role": "reader", **changes}
    return {name: value for name, value in claims.items() if value is not None}


def encoded(part: dict[str, Any]) -> str:
    """Returns a part of a JWT."""
    return in_base64(json.dumps(part).encode())


def in_base64(raw: bytes) -> str:
    """Returns bytes as a JWT has them."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
