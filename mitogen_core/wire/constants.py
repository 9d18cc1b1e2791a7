"""The vocabulary of the wire: version, handles, limits.  docs/wire-format.md is held against this file by a test."""

# Both ends of a link must have the same version: code travels with the controller, so there is nothing to negotiate.
VERSION = 2

# The multiplexer's context id; the root of every tree.
ROOT = 0
# Ids from here on name local clients of the multiplexer (Ansible's workers), which are no part of the tree.
FIRST_CLIENT = 0x80000000
MAX_U32 = 0xffffffff

# Handles below this number are fixed; those a context allots for its replies start here.
FIRST_DYNAMIC = 1000

GET_MODULE = 100
CALL_FUNCTION = 101
FORWARD_LOG = 102
ADD_ROUTE = 103
DEL_ROUTE = 104
ALLOCATE_ID = 105
SHUTDOWN = 106
LOAD_MODULE = 107
FORWARD_MODULE = 108
DETACHING = 109
CALL_SERVICE = 110
STUB_CALL_SERVICE = 111
HELLO = 120
CANCEL = 121
HEARTBEAT = 122
WINDOW = 123
SUBSCRIBE = 124
PUBLISH = 125
IS_DEAD = 999

HANDLES = dict((value, name) for name, value in list(globals().items())
               if name.isupper() and isinstance(value, int) and (100 <= value < 130 or value == 999))

# A frame's payload.  Large enough that bulk costs few headers, small enough that no frame delays another for long
# and that a hostile length cannot make a reader allocate more than this.
MAX_PAYLOAD = 1 << 20
# Bulk is cut into pieces of this size.
CHUNK = 1 << 17
# The pickled head of a message.  Bulk never goes there.
MAX_HEAD = 1 << 19
# Characters and items of a head, counted in each place where they stand: what is shared must not make a small head
# a large one.
MAX_UNFOLDED = 4 << 20
# All pieces of one message together, at the end that puts them together.
MAX_MESSAGE = 1 << 30
# Seconds: a word is due from a neighbour about twice in the first, and a link is given up after the second.
ALIVE = (10, 30)
# One read(2).
READ_SIZE = 1 << 17
# A frame with more than this is bulk: it needs a window, and all that is smaller overtakes it.
SMALL = 1 << 14
# Bytes of bulk of one flow that may be under way to a neighbour.
WINDOW_SIZE = 1 << 19
# A link with more of small frames queued makes those who feed it wait.
HIGH_WATER = 4 << 20
# Nesting of a message's head: ours are flat, a deeper one is an attack on somebody's stack.
MAX_DEPTH = 32
