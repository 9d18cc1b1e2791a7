"""Errors that cross module borders.

Inside, code raises the error that says what happened.  Bytes from a peer may only ever lead to ProtocolError:
whoever reads from a link catches that one, and ends the link.
"""


class MitosisError(Exception):
    """Base of all errors of this package."""


class ProtocolError(MitosisError):
    """The peer sent what the wire format does not allow; its link must end."""


class ChannelError(MitosisError):
    """The peer or the route to it is gone; no answer will come."""


class CallError(MitosisError):
    """A call failed at the other end.

    `kind` is a short word that callers may test; `text` is a sentence for people.
    """

    def __init__(self, kind, text):
        MitosisError.__init__(self, text)
        self.kind = kind
        self.text = text
