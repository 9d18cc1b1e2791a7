"""The first message on a link, from each end: who is there, and which language it speaks."""

from .constants import MAX_PAYLOAD, MAX_U32, VERSION
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
    if type(head.get(u'version')) not in integer_types or head[u'version'] != VERSION:
        raise ProtocolError('the peer speaks version %.60r, this end %d' % (head.get(u'version'), VERSION))
    for key in (u'id', u'pid', u'max_payload'):
        if type(head.get(key)) not in integer_types or not 0 <= head[key] <= MAX_U32:
            raise ProtocolError('a hello without %s' % key)
    return head
