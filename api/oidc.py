"""OIDC bearer tokens: signed by the configured issuer's keys (JWKS), with our role and scope as claims."""

import json
from functools import lru_cache
from typing import Any

import jwt
from jwt import PyJWKClient
from jwt.utils import base64url_decode

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
    if not _says_nothing_twice(token):
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
    """Read our claims: a role that we know and where it holds; what is unknown or says both is nobody's."""
    role, where = claims.get("safetymap_role"), _where(claims)
    if role not in ROLES[1:] or where is None:
        return None
    held_back = role in WITH_SECOND_FACTOR and not _has_second_factor(claims.get("amr"))
    return Principal(
        WITHOUT_SECOND_FACTOR if held_back else role, *where, f"oidc:{claims['sub']}", None,
        claims.get("safetymap_export") is True, role,
    )  # fmt: skip


def _where(claims: dict[str, Any]) -> tuple[str | None, str | None] | None:
    """Return scheme and scope, both None for the mark of the whole city; None where neither is said well."""
    named = {f"safetymap_{name}": claims.get(f"safetymap_{name}") for name in ("scheme", "scope")}
    if "safetymap_everywhere" in claims:
        marked = claims["safetymap_everywhere"] is True and not named.keys() & claims.keys()
        return (None, None) if marked else None
    scheme, scope = named.values()
    good = all(isinstance(one, str) and one.strip() for one in (scheme, scope))
    return (scheme, scope) if good else None


def _has_second_factor(amr: object) -> bool:
    return isinstance(amr, list) and any(isinstance(one, str) and one in _FACTORS for one in amr)


def _says_nothing_twice(token: str) -> bool:
    """Tell whether no claim comes twice: which of the two holds would be the parser's choice."""

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError(pairs)
        return dict(pairs)

    try:
        for part in token.split(".")[:2]:
            json.loads(base64url_decode(part), object_pairs_hook=keep)
    except ValueError:
        return False
    return True
