"""The first message on a link, from each end: who is there, and which language it speaks."""

from .constants import MAX_PAYLOAD, VERSION
from .errors import ProtocolError
from .py23 import integer_types, to_text


def hello(context_id, pid, **more):
    """The head of a HELLO message."""
    head = {u'version': VERSION, u'id': context_id, u'pid': pid, u'max_payload': MAX_PAYLOAD}
    for key, value in more.items():
        head[to_text(key)] = value
    return head


def check_hello(head):
    """`head` with text keys; raises ProtocolError where it is no hello of our version."""
    if not isinstance(head, dict):
        raise ProtocolError('a stranger: its first message is no hello')
    head = dict((to_text(key), value) for key, value in head.items())
    if head.get(u'version') != VERSION:
        raise ProtocolError('the peer speaks version %r, this end %d' % (head.get(u'version'), VERSION))
    for key in (u'id', u'pid', u'max_payload'):
        if not isinstance(head.get(key), integer_types) or head[key] < 0:
            raise ProtocolError('a hello without %s' % key)
    return head
