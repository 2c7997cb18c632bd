"""OIDC bearer tokens: signed by the configured issuer's keys (JWKS), with our role and scope as claims."""

import json
from functools import lru_cache
from typing import Any

import jwt
from jwt import PyJWKClient
from jwt.utils import base64url_decode

from gis import access
from gis.access import Principal
from gis.errors import BadInput
from gis.schema_access import ROLES
from gis.settings import settings

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures of a public key only: never `none`, never a shared secret."""
KEYS_LAST_S, KEYS_APART_S, KEYS_TIMEOUT_S = 40, 10, 5
"""How long the issuer's keys are believed, at least between two looks for an unknown one, and to wait for
them: a key that it withdrew is refused, and one that it brought in taken, within a minute."""
CLOCKS_APART_S = 10
"""What the issuer's clock may be ahead of ours or behind."""
_FACTORS = (
    frozenset({"pwd", "pin", "kba"}),
    frozenset({"otp", "hwk", "swk", "sc", "pop"}),
    frozenset({"face", "fpt", "iris", "retina", "vbm"}),
)
"""Methods of authentication (RFC 8176) by kind: what one knows, has and is. Two kinds are two factors."""


@lru_cache
def _keys(url: str) -> PyJWKClient:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise BadInput("SAFETYMAP_OIDC_JWKS_URL", "must be https")
    return PyJWKClient(url, lifespan=KEYS_LAST_S, timeout=KEYS_TIMEOUT_S, cooldown_duration=KEYS_APART_S)


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
            options={"require": ["exp", "iat", "sub"]}, leeway=CLOCKS_APART_S,
        )  # fmt: skip
        typ = jwt.get_unverified_header(token).get("typ")
    except jwt.PyJWTError:
        return None
    return _of(claims) if _is_access_token(typ, claims) and _is_short_lived(claims) else None


def _is_access_token(typ: object, claims: dict[str, Any]) -> bool:
    """Tell an access token from others that the issuer signs for us: of an identity, to log out."""
    if not isinstance(typ, str) or claims.get("typ", "Bearer") != "Bearer":
        return False
    if claims.keys() & {"nonce", "at_hash", "c_hash", "events"}:
        return False
    return typ.lower().removeprefix("application/") == settings().oidc_typ.lower()


def _is_short_lived(claims: dict[str, Any]) -> bool:
    return bool(0 < claims["exp"] - claims["iat"] <= settings().oidc_longest_s)


def _of(claims: dict[str, Any]) -> Principal | None:
    """Read our claims: a role that we know and where it holds; what is unknown or says both is nobody's."""
    role, where = claims.get("safetymap_role"), _where(claims)
    if role not in ROLES[1:] or where is None:
        return None
    whose = Principal(
        role, *where, f"oidc:{claims['sub']}", None, claims.get("safetymap_export") is True, role
    )
    return whose if _has_second_factor(claims.get("amr")) else access.held_back(whose)


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
    """Tell whether two kinds of methods were used, or the issuer says so (`mfa`)."""
    if not isinstance(amr, list) or not all(isinstance(one, str) for one in amr):
        return False
    return "mfa" in amr or sum(bool(kind & set(amr)) for kind in _FACTORS) >= 2


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
