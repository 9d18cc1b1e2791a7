"""The first message on a link, from each end: who is there, and which language it speaks."""

from .constants import MAX_PAYLOAD, MAX_U32, VERSION
from .errors import ProtocolError
from .py23 import integer_types, text_type, to_text

# What a child says of itself besides, in texts of at most so many characters.
WORDS = (u'executable', u'user', u'home', u'host')
MAX_WORD = 4096


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


def check_child(head):
    """What a child's hello says, as check_hello, and nothing that has no meaning."""
    head = check_hello(head)
    for key in WORDS:
        if type(head.get(key)) is not text_type or len(head[key]) > MAX_WORD:  # pylint: disable=unidiomatic-typecheck
            raise ProtocolError('a hello without %s' % key)
    python = head.get(u'python')
    # pylint: disable=unidiomatic-typecheck
    numbers = [head.get(u'uid')] + (python if type(python) is list and len(python) == 3 else [None])
    if not all(type(number) in integer_types for number in numbers):
        raise ProtocolError('a hello without uid or python')
    return dict((key, head[key]) for key in WORDS + (u'version', u'id', u'pid', u'max_payload', u'uid', u'python'))
