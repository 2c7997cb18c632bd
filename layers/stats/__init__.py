"""The statistics behind the layers, as pure functions on numpy arrays: no database, no H3, no HTTP."""
