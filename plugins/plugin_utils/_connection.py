"""A stock connection plugin whose commands, modules and files go through contexts.

Express stands in front of the stock class.  What it does not understand, or can't serve, goes to the stock class, and
is counted.
"""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from ...mitogen_core.controller.client import Client, StartError
from ...mitogen_core.controller.log import one_line
from ...mitogen_core.wire.constants import ROOT
from ...mitogen_core.wire.errors import ChannelError, MitosisError, ProtocolError
from . import _accounts, _modules, _runtime
from ._baton import waiting
from ._compat import Unknown, ansiballz, asyncs, not_supported, supported
from ._compat.callers import Maker, item_is_running, runs_the_tasks_command
from ._compat.options import full_name
from ._compat.recording import Meaning, Notes, explain, record_become, record_shell
from ._contexts import Contexts
from ._guesses import Again
from ._login import NoInterpreter, Refused, Stock
from ._news import News
from ._transfers import Transfers
from ._unawaited import Unawaited

display = Display()


class Express(Contexts, Unawaited, Transfers):
    """Mixin: put it before a stock ConnectionBase class, and set `login_type`."""

    login_type: Any
    # What the stock class brings along.
    _load_name: str
    _play_context: Any
    _shell: Any
    transport: str
    _connect: Any
    has_option: Any
    ansible_aliases: Any
    # What plugins were asked for lately, and the files that were sent.
    _notes: Any = None
    _sent: Any = None
    # The process that the run ends with.
    _run_pid = 0
    _profile: Any = None
    _name_shown = ''
    _count: str | None = None
    # Would what is being run have a terminal under stock, where modules of some become plugins are files?
    _stock_tty = False
    _pipelines = True
    # Become plugin and interpreter of what was asked for last; a loop's items that are under way.
    way: tuple[Any, str | None] | None = None
    lane: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begin(bool(kwargs.get('ansible_playbook_pid')))

    def begin(self, in_worker: bool) -> None:
        """What is to be done once, when the stock plugin is ready."""
        self._notes, self._sent = Notes(), asyncs.Sent()
        record_shell(self._shell, self._notes)
        # A task's connection is made in a worker, a child of the process that the run ends with.  That may have been
        # killed, and the worker, by now a child of init, go on.
        parent = multiprocessing.parent_process() if in_worker else None
        self._run_pid = (parent and parent.pid) or os.getpid()
        self._profile = _runtime.profile() if parent else None
        if multiprocessing.parent_process():
            self.tell_of_actions()

    # what Ansible asks of a connection

    def set_become_plugin(self, plugin: Any) -> None:
        super().set_become_plugin(plugin)  # type: ignore[misc]
        if plugin is not None:
            record_become(plugin, self._notes)

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys, var_options, direct)  # type: ignore[misc]
        self._note_maker()
        # Modules arrive in one piece, whatever the configuration says; a variable is about this host or task.
        self._pipelines = not {'ansible_pipelining', 'ansible_ssh_pipelining'} & set(var_options or ()) \
            or not self.has_option('pipelining') or bool(super().get_option('pipelining'))

    def _note_maker(self) -> None:
        """Whose connection it is, for now: another host's or item's may come after."""
        self.maker = Maker()
        self.hosts = self.maker.hosts
        self.typed = {name: str(getattr(self._play_context, name)) for name in ('password', 'become_pass')
                      if getattr(self._play_context, name, None) and not self.maker.has_password(name)}

    def _stock_wished(self) -> str:
        """Why options ask for the stock way, if they do."""
        if not self.get_option('mitosis_enabled'):
            return 'turned off'
        if self.has_option('worker_session_isolation') and not self.get_option('worker_session_isolation'):
            return "the worker's terminal is wished"
        return ''

    def get_option(self, option: str, *args: Any, **kwargs: Any) -> Any:
        if option == 'pipelining' and not self._stock_wished():
            return self._pipelines
        return super().get_option(option, *args, **kwargs)

    def is_pipelining_enabled(self, wrap_async: bool = False) -> bool:
        """2.19 and later; true for become plugins too whose own command could not be fed on stdin."""
        if self._stock_wished():
            return bool(super().is_pipelining_enabled(wrap_async))  # type: ignore[misc]
        return self._pipelines and not wrap_async

    def update_vars(self, variables: Any) -> None:
        name = self._load_name
        try:
            self._load_name = self._name_shown or name
            super().update_vars(variables)  # type: ignore[misc]
        finally:
            self._load_name = name

    def show_as(self, name: str) -> None:
        """Be known to playbooks and callbacks by the name of the plugin whose place this one took."""
        self._name_shown = name
        self.ansible_name = full_name(name)
        # By these a loop's next item finds that it is still the connection that it wants.
        self.ansible_aliases = [*self.ansible_aliases, self.ansible_name]

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        try:
            result: tuple[int, bytes, bytes] = self.attempt(
                self._exec, explain(self._notes, str(cmd)), in_data, sudoable)
        except Stock as e:
            if e.has_way and self.via():
                self._stock(str(e))
                result = self.attempt(self.through_hop, str(cmd), in_data or b'')
            else:
                if in_data and self.modules_as_files() and self.acts():
                    raise Again from e
                result = self._stock_way(e, super().exec_command, cmd, in_data=in_data, sudoable=sudoable)  # type: ignore[misc]
        return result

    def put_file(self, in_path: str, out_path: str) -> Any:
        self._sent.note(in_path, out_path)
        if self.is_here():
            self.alone()
            return super().put_file(in_path, out_path)  # type: ignore[misc]
        try:
            return self.attempt(self._put, in_path, out_path)
        except Stock as e:
            return self._stock_way(e, super().put_file, in_path, out_path)  # type: ignore[misc]

    def fetch_file(self, in_path: str, out_path: str) -> Any:
        if self.is_here():
            self.alone()
            return super().fetch_file(in_path, out_path)  # type: ignore[misc]
        try:
            return self.attempt(self._fetch, in_path, out_path)
        except Stock as e:
            return self._stock_way(e, super().fetch_file, in_path, out_path)  # type: ignore[misc]

    def reset(self) -> None:
        """End the login and what hangs on it, if it is there; then what stock does for its own."""
        _runtime.forget_kept()
        try:
            client = _runtime.existing_client()
            if client:
                client.call(ROOT, 'contexts', 'reset', {'keys': self._keys(None)}, timeout=30,
                            what='the end of a connection')
                client.close()
        except (MitosisError, AnsibleError, Unknown, OSError) as e:
            display.warning(f'mitosis: could not reset the connection: {e}')
        super().reset()  # type: ignore[misc]

    def close(self) -> None:
        if self.lane:
            self.lane.close()
            self._count = self.lane.reason or self._count
            self.lane = None
        if self._count is not None:
            _runtime.count(self._count)
            self._count = None
        self.forget_login()
        super().close()  # type: ignore[misc]
        if self._profile:
            self._profile.end()
            self._profile.go_on()

    def uncounted(self) -> str | None:
        """What close() would count, which then does not."""
        count, self._count = self._count, None
        return count

    # the two ways

    def _stock(self, reason: str) -> None:
        display.vvv(f'MITOSIS: the stock way: {reason}', host=self._play_context.remote_addr)
        self._count = reason

    def alone(self, client: Client | None = None) -> None:
        """What follows is not for a loop's lane."""
        item = _runtime.item()
        if item:
            if client:
                self.settle(client)
            item.alone()

    def _stock_way(self, reason: Stock, action: Any, *args: Any, **kwargs: Any) -> Any:
        self.alone()
        if self._later and (self._later.pending or self._later.held or self._later.dropped):
            raise Again
        self._stock(str(reason))
        if self.via():
            raise AnsibleConnectionFailure(f'{self._name()} is reached through {self.via()}, for which stock Ansible '
                                           f'has no way ({reason})')
        with waiting():
            return action(*args, **kwargs)

    def stock_exec(self, line: str, data: bytes | None) -> Any:
        """The stock plugin's exec_command."""
        return super().exec_command(line, in_data=data, sudoable=False)  # type: ignore[misc]

    def modules_as_files(self) -> bool:
        """From now on they are not fed, if the stock plugin can't do that; is it so?"""
        return False

    def prepare(self) -> None:
        """What the stock plugin does before anything else."""
        self._connect()

    def attempt(self, action: Any, *args: Any) -> Any:
        """action(client, ...); a lost link is UNREACHABLE, all that is merely not possible is Stock."""
        if not supported():
            display.warning(not_supported())
            raise Stock('unknown ansible-core')
        wished = self._stock_wished()
        if wished:
            raise Stock(wished)
        if getattr(self._shell, '_IS_WINDOWS', False):
            raise Stock('windows')
        self.prepare()
        try:
            result = action(_runtime.client(self._run_pid), *args)
        except Refused as e:
            result = e.answer(self._stock_tty)
        except ChannelError as e:
            self.ways = None
            _runtime.drop_client()
            raise AnsibleConnectionFailure(f'Lost the connection: {one_line(str(e))}') from None
        except ProtocolError as e:
            _runtime.drop_client()
            raise Stock('it can not be sent') from e
        except (StartError, Unknown) as e:
            _runtime.drop_client()
            display.warning(f'mitosis: {e}')
            raise Stock('no multiplexer' if isinstance(e, StartError) else 'unknown internals') from e
        if self._count is None:
            self._count = ''
        return result

    def will_be_used(self) -> None:
        """An action is about to ask for something: where it is the first to do so, begin what takes long."""
        if self.transport != 'ssh' or self._count is not None or self._begun:
            return
        with contextlib.suppress(Stock, StartError, AnsibleError):  # they come again when it asks
            interpreter = self.maker.interpreter() if self.maker and _runtime.first_use() and not self.via() else None
            if interpreter is not None:
                self.attempt(self.begin_login, interpreter)
        self._count = None

    # operations

    def _exec(self, client: Client, meaning: Meaning, in_data: bytes | None,
              sudoable: bool) -> tuple[int, bytes, bytes]:
        display.vvv(f'EXEC {meaning.line}', host=self._play_context.remote_addr)  # as stock's plugins say it
        become = meaning.become if sudoable else None
        fed = in_data if become is None or getattr(become, 'pipelining', become.name != 'su') else None
        self._stock_tty = self._wants_tty(fed, sudoable)
        if meaning.become is not None and not sudoable:
            meaning = Meaning(meaning.line)
        module = None
        if in_data and meaning.interpreter:
            payload = ansiballz.parse(in_data)
            if payload:
                module = ansiballz.ModuleRun(payload, meaning.interpreter, meaning.environment or {})
            else:
                self._stock('module of an unknown form')
        elif not in_data:
            module = asyncs.parse(meaning.command, self._sent, self._notes.environments)
        if module:
            if module.job and module.job['remove']:
                self.drop_held()
            self.send_held(client)
            _runtime.note_use(module.payload.fqn)
            try:
                answer = self.foreseen(client, module, become)
                if not answer:
                    self.settle_for(client, become, module.interpreter)
                    self.read_ahead(client)
                    answer = _modules.run(self, client, module, become)
                self._ran(become, module.interpreter)
                return self._answer(*answer)
            except NoInterpreter as e:
                if self._later and self._later.dropped:
                    raise Again from e
                self._stock(f'no interpreter {module.interpreter}')
                display.vvv(f'MITOSIS: {e}', host=self._play_context.remote_addr)
        self.for_modules_only()
        item, names = _runtime.item(), _accounts.named_by_command(meaning.line)
        if names:
            self.alone(client)
            _accounts.make_way(client, names, self._keys(become))
        context = self._context(client, become)
        if meaning.home_of in ('~', '~' + str(self.get_option('remote_user') if self.transport == 'ssh' else '')) \
                and become is None and self._home and self.login_type.tells_home:
            return 0, self._home.encode() + b'\n', b''
        args: dict[str, Any] = {'tty': self._wants_tty(in_data, sudoable), 'cwd': self._cwd()}
        if meaning.argv is not None:
            args['argv'] = meaning.argv
        else:
            args['shell'] = meaning.line
        expected = self.expects(meaning.command) if meaning.argv and not in_data and become is None else None
        if expected and not args['tty']:
            return self.send_later(client, context, expected, args)
        self.send_held(client)
        self.settle_for(client, become)
        last = runs_the_tasks_command()
        if item and not (last and item.holds(context)):
            self.alone(client)
        elif item:
            args['lane'] = list(item.lane)
        with self.in_lane(client, args), News(self, lambda: last) as news:
            handle = client.start(context, 'processes', 'exec', dict(args, live=news.live), in_data or b'')
            if item and 'lane' in args:
                item.sent()
            head, output = client.wait(handle, 'a command', on_progress=news)
        if last:
            self._ran(become)
        return self._answer(head, output)

    def _ran(self, become: Any, interpreter: str | None = None) -> None:
        """Something ran: if it was for an item of a loop, the next may go ahead."""
        item = _runtime.item()
        if item and item.keeps_connection and not C.DEFAULT_KEEP_REMOTE_FILES:
            self._connected = True  # stock's ssh says that it is not, and is made anew for each item
        if self.way is None and item_is_running() and multiprocessing.parent_process():
            from . import _ahead
            _ahead.prepare()
        self.way = become, interpreter

    def ends_in(self) -> tuple[list[str], int]:
        """Keys and id of the context that ran what was asked for last."""
        become, interpreter = self.way or (None, None)
        return self._keys(become, interpreter), self._context(_runtime.client(self._run_pid), become, interpreter)

    def lane_of_files(self, loop: Any) -> Any:
        """See _ahead.files."""
        from . import _ahead
        return _ahead.files(self, loop)

    def twin(self) -> Any:
        """One more that is connected to the same, for another thread."""
        found = copy.copy(self)
        found._later = found._profile = found._count = found.lane = found._begun = None
        found.is_twin = True
        return found

    def _cwd(self) -> str | None:
        cwd = getattr(self, 'cwd', None) if self.is_here() else None
        return os.fsdecode(cwd) if cwd else None

    def _wants_tty(self, in_data: bytes | None, sudoable: bool) -> bool:
        return bool(self.transport == 'ssh' and not in_data and sudoable
                    and self.get_option('use_tty'))

    @staticmethod
    def _answer(head: Any, bulk: bytes) -> tuple[int, bytes, bytes]:
        try:
            return int(head['rc']), bulk[:head['out']], bulk[head['out']:]
        except (TypeError, ValueError, LookupError):
            raise ChannelError('an exit code and output were asked for, and something else came') from None
