"""Log records travel to the controller."""

import logging

from ..wire.py23 import to_text


class ForwardHandler(logging.Handler):
    """A logging handler that gives records, as messages, to send(head)."""

    def __init__(self, send):
        logging.Handler.__init__(self)
        self._send = send

    def emit(self, record):
        try:
            self._send({u'level': record.levelno, u'name': to_text(record.name), u'text': to_text(self.format(record))})
        except Exception:
            self.handleError(record)


def install_handler(send):
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, ForwardHandler)]
    root.addHandler(ForwardHandler(send))
    if root.level > logging.INFO:
        root.setLevel(logging.INFO)
