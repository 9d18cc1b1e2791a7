"""Choices by what a module said: docs/wire-format.md, section 4."""


def matches(found, wanted):
    """Is `found` like `wanted`?  A dict may have more than is wanted, but nothing where None is."""
    if not isinstance(wanted, dict):
        return found == wanted
    return isinstance(found, dict) and all(matches(found.get(key), wanted[key]) for key in wanted)


def choose(choices, value, bulk):
    """The number of the first choice, a list of dicts, of which one is like what a module with this answer said; None
    where there is no such, or it failed."""
    if value[u'rc'] == 0:
        import json  # most brokers never need it
        try:
            found = json.loads(bulk[:value[u'out']].decode('utf-8'))
        except (ValueError, RuntimeError):
            return None
        for number, wanted in enumerate(choices):
            if any(matches(found, one) for one in wanted):
                return number
    return None
