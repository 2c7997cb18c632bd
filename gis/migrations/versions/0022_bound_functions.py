"""Every function of ours means the same objects whatever the search path is, as restores and REINDEX need.

`pg_restore` and PostgreSQL 17's maintenance run with an empty search path: a function in a CHECK, an index or
a generated column that names another by its bare name then fails, and with it every row of its table. Bodies
in SQL are bound when they are defined (BEGIN ATOMIC), which leaves them open to inlining; triggers and the like
in PL/pgSQL get a search path of their own. Immutable functions in PL/pgSQL name their schema since they were
made: a path of their own costs them half of their time (measured on fold_text).
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_OURS = """
SELECT p.oid::regprocedure::text AS name, l.lanname AS language, p.provolatile AS kept, p.prosrc AS body,
  pg_get_functiondef(p.oid) AS definition, pg_get_function_sqlbody(p.oid) AS bound
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid
"""
_BOUND = "\nBEGIN ATOMIC"
_OWN_PATH = "SET search_path = public, pg_temp"


def upgrade() -> None:
    """Bind each function as it stands; its owner, its grants and what uses it stay."""
    for one in op.get_bind().execute(sa.text(_OURS)).all():
        if one.language == "plpgsql" and one.kept != "i":
            op.execute(f"ALTER FUNCTION {one.name} {_OWN_PATH}")
        elif one.language == "sql" and one.bound is None:
            head = one.definition.partition("\nAS $function$")[0]
            _define(f"{head}\nBEGIN ATOMIC {one.body.strip().rstrip(';')}; END")


def downgrade() -> None:
    """Unbind them, so that what they name may be dropped again; paths of their own do no harm."""
    for one in op.get_bind().execute(sa.text(_OURS)).all():
        if one.bound is not None:
            body = one.bound.removeprefix(_BOUND.strip()).rstrip().removesuffix("END")
            _define(f"{one.definition.partition(_BOUND)[0]}\nAS $unbound${body}$unbound$")


def _define(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
