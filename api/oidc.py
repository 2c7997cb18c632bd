"""OIDC bearer tokens: signed by the configured issuer's keys (JWKS), with our role and scope as claims."""

from functools import lru_cache
from typing import Any

import jwt
from jwt import PyJWKClient

from gis.access import WITHOUT_SECOND_FACTOR, Principal
from gis.errors import BadInput
from gis.schema_access import ROLES, WITH_SECOND_FACTOR
from gis.settings import settings

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures of a public key only: never `none`, never a shared secret."""
_FACTORS = frozenset({"mfa", "otp", "hwk", "swk"})
"""Methods of authentication (RFC 8176) that count as a second factor."""


@lru_cache
def _keys(url: str) -> PyJWKClient:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise BadInput("SAFETYMAP_OIDC_JWKS_URL", "must be https")
    return PyJWKClient(url, lifespan=300, timeout=5)


def principal(token: str) -> Principal | None:
    """Return whom a token speaks for, None when it is not good or no issuer is configured."""
    chosen = settings()
    if not (chosen.oidc_jwks_url and chosen.oidc_issuer and chosen.oidc_audience):
        return None
    try:
        key = _keys(chosen.oidc_jwks_url).get_signing_key_from_jwt(token)
        claims = jwt.decode(
            token, key, ALGORITHMS, issuer=chosen.oidc_issuer, audience=chosen.oidc_audience,
            options={"require": ["exp", "iat", "sub"]},
        )  # fmt: skip
    except jwt.PyJWTError:
        return None
    return _of(claims)


def _of(claims: dict[str, Any]) -> Principal | None:
    """Read our claims; a token with a role we do not know, or a scope without its scheme, is nobody's."""
    role, scheme, scope = (claims.get(f"safetymap_{name}") for name in ("role", "scheme", "scope"))
    if role not in ROLES[1:] or (scope is None) != (scheme is None):
        return None
    held_back = role in WITH_SECOND_FACTOR and not _FACTORS & set(claims.get("amr", ()))
    return Principal(
        WITHOUT_SECOND_FACTOR if held_back else role, scheme, scope, f"oidc:{claims['sub']}", None,
        claims.get("safetymap_export") is True, role,
    )  # fmt: skip
