"""Structs that are extended."""

def extended(_struct, **changes):
    """A copy of a struct with fields added or replaced."""
    fields = {name: getattr(_struct, name) for name in dir(_struct)}
    fields.update(changes)
    return struct(**fields)
