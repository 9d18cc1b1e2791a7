"""The service `status`: what a broker has to do with, for people."""

import os


class Status(object):
    def __init__(self, broker):
        self.broker = broker

    def do_status(self, call, args, bulk):
        call.reply(self.describe())

    def text(self):
        """One line."""
        import json
        return json.dumps(self.describe(), sort_keys=True)

    def describe(self):
        broker, now = self.broker, self.broker.loop.clock()
        links = {u'parent': broker.parent.describe()}
        links.update((u'%d' % child.id, child.link.describe()) for child in broker.children.values() if child.link)
        modules = broker.services.get('modules')
        runners = [{u'pid': runner.pid, u'executor': runner.executor, u'busy': bool(runner.call),
                    u'link': runner.link.describe()} for runner in (modules.runners if modules else ())]
        return {u'pid': os.getpid(), u'links': links, u'runners': runners, u'files': len(broker.store.blobs),
                u'slots': sorted(broker.slots), u'calls': [
                    {u'for': call.src, u'handle': call.reply_to, u'state': call.state, u'seconds': now - call.since}
                    for call in broker.calls.values()]}


SERVICE = Status
