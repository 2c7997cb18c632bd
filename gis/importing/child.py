"""The program of the process that reads a file for the sandbox: starts without pandas and geopandas.

pyogrio and pyarrow load them wherever they find them, though nothing here makes a frame: half of the start.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

_UNUSED = frozenset({"geopandas", "pandas"})


class _Hidden(MetaPathFinder):
    """Says of what is not used that it is not installed, as both libraries allow."""

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        """Return None for all else. Raises ModuleNotFoundError for a library that is not used."""
        if fullname in _UNUSED:
            raise ModuleNotFoundError(name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, _Hidden())
    from gis.importing import sandbox

    sandbox.child()
