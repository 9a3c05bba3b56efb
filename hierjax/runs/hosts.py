"""Hosts that share a task: each learns what all have found, and knows when one is gone.

Seeds are independent, so every host computes on devices of its own and only results travel, as
lines of JSON between host 0 and each of the others. JAX's own runtime is not asked to carry them:
when a process dies it aborts the others, and it cannot say which host never came.
"""

import contextlib
import json
import queue
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

_PATIENCE = 300.0
_SECONDS_BETWEEN_TRIES = 0.2
_HANDSHAKE_SECONDS = 10.0
# A host that loses its power or its network is missed after about half a minute, whether the
# connection is idle (seconds) or has sent what was never acknowledged (milliseconds).
_KEEPALIVE = {
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 30_000,
}
# Reserved for documentation, so nobody's.
_ELSEWHERE = ("192.0.2.1", 9)


class HostLostError(ConnectionError):
    """A host never came, or ended before the task did."""


class Hosts:
    """All hosts of a task, as one of them sees it.

    Attributes:
      index: of this host; host 0 is the one that writes.
      count: of the hosts.
    """

    def __init__(
        self,
        index: int = 0,
        count: int = 1,
        links: "dict[int, _Link] | None" = None,
        on_lost: Callable[[str], None] | None = None,
    ):
        """This host alone, unless `meet` or `meet_on_tpu` gives links to others."""
        self.index, self.count = index, count
        self._links, self._on_lost = links or {}, on_lost
        self._is_closing = False
        self._inbox = {host: queue.SimpleQueue() for host in self._links}
        for host in self._links:
            threading.Thread(target=self._listen, args=(host,), daemon=True).start()

    def gather(self, value: Any) -> list:
        """What every host gives, JSON-able, in the order of the hosts; waits for all of them.

        Raises:
          HostLostError: a host has ended.
        """
        if self.index > 0:
            self._send(0, value)
            return self._receive(0)
        values = [value, *(self._receive(host) for host in sorted(self._links))]
        for host in self._links:
            self._send(host, values)
        return values

    def close(self) -> None:
        """Waits until all hosts have come to the end of the task.

        Raises:
          HostLostError: a host has ended before.
        """
        self._is_closing = True
        self.gather(None)
        for link in self._links.values():
            link.close()

    def _send(self, host: int, value: Any) -> None:
        with contextlib.suppress(OSError):  # The thread that listens to this host tells of it.
            self._links[host].send("value", value)

    def _receive(self, host: int) -> Any:
        kind, content = self._inbox[host].get()
        if kind == "lost":
            raise HostLostError(content)
        return content

    def _listen(self, host: int) -> None:
        """Passes messages on; when a host is gone, says so to the others and to `on_lost`."""
        kind, content = "value", None
        while kind == "value":
            try:
                kind, content = self._links[host].receive()
            except (OSError, ValueError):
                kind = "lost"
                content = f"host {host} of {self.count} has ended, or cannot be reached"
            if kind == "lost" and not self._is_closing:
                self._tell(host, content)
            self._inbox[host].put((kind, content))

    def _tell(self, lost: int, line: str) -> None:
        """Before anyone who waits for the lost host wakes, so that one line is said once."""
        for other in self._links.keys() - {lost}:
            with contextlib.suppress(OSError):
                self._links[other].send("lost", line)
        self._on_lost(line)


class _Link:
    """A connection that carries pairs of a kind and a JSON-able content."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # macOS names one of them otherwise.
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._connection = connection
        self._reader = connection.makefile("r", encoding="utf-8")

    def send(self, kind: str, content: Any) -> None:
        self._connection.sendall((json.dumps([kind, content]) + "\n").encode())

    def receive(self) -> tuple[str, Any]:
        line = self._reader.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the connection ended")
        message = json.loads(line)
        if not isinstance(message, list) or len(message) != 2:
            raise ValueError(f"not a pair of kind and content: {line[:80]!r}")
        return tuple(message)

    def has_ended(self) -> bool:
        """Of a host that waits, from which nothing else can arrive."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def wait_at_most(self, seconds: float | None) -> None:
        self._connection.settimeout(seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def meet(
    coordinator: str,
    index: int,
    count: int,
    on_lost: Callable[[str], None],
    patience: float = _PATIENCE,
) -> Hosts:
    """Waits until all hosts have come.

    Args:
      coordinator: address:port of host 0, the same on all hosts.
      index: of this host.
      count: of the hosts.
      on_lost: called, from a thread, with a line that names a host that has ended before the
        task; the task cannot be finished, so it should end the process.
      patience: seconds to wait for the others.

    Raises:
      ValueError: no such address, its port is taken, or host 0 refuses this host, as it does when
        another one did not come in time.
      HostLostError: this host is the first, and another one did not come in time; or it is
        another one, and the first did not come or has ended.
    """
    address, _, port = coordinator.rpartition(":")
    if not address or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator={coordinator} must be an address and a port: host:1234")
    if not 0 <= index < count:
        raise ValueError(f"process_id={index} must be at least 0 and below num_processes={count}")
    if index > 0:
        link = _join((address, int(port)), index, count, patience)
        return Hosts(index, count, {0: link}, on_lost)
    try:
        server = socket.create_server(("", int(port)))
    except OSError as error:
        raise ValueError(
            f"coordinator={coordinator} cannot be opened ({error.strerror}): choose another port"
        ) from error
    return Hosts(0, count, _welcome(server, count, patience), on_lost)


def meet_on_tpu(on_lost: Callable[[str], None]) -> Hosts:
    """As `meet`, for the hosts of a TPU slice, which JAX finds by itself.

    Raises:
      HostLostError: a host did not come.
    """
    try:
        jax.distributed.initialize()
    except ValueError:  # JAX finds no slice.
        return Hosts()
    except RuntimeError as error:
        raise HostLostError(f"the hosts of the slice did not meet: {error}") from error
    index, count = jax.process_index(), jax.process_count()
    server = socket.create_server(("", 0))
    here = socket.inet_aton(_own_address())
    where = multihost_utils.broadcast_one_to_all(np.array([*here, server.getsockname()[1]]))
    if index == 0:
        return Hosts(0, count, _welcome(server, count, _PATIENCE), on_lost)
    server.close()
    address = ".".join(str(octet) for octet in where[:4])
    link = _join((address, int(where[4])), index, count, _PATIENCE)
    return Hosts(index, count, {0: link}, on_lost)


def _own_address() -> str:
    """That of the interface to other machines; the host's name may stand for the loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE)  # Chooses the interface, and sends nothing.
        return probe.getsockname()[0]


def _welcome(server: socket.socket, count: int, patience: float) -> dict[int, _Link]:
    """Host 0 waits for the others."""
    links: dict[int, _Link] = {}
    deadline = time.monotonic() + patience
    with server:
        while len(links) < count - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = ", ".join(str(host) for host in range(1, count) if host not in links)
                line = f"host {missing} of {count} did not come within {patience:.0f} s"
                _send_to_all(links, "refused", line)
                raise HostLostError(line) from None
            _admit(_Link(connection), links, count)
    _send_to_all(links, "welcome", None)
    return links


def _send_to_all(links: dict[int, _Link], kind: str, content: Any) -> None:
    for link in links.values():
        with contextlib.suppress(OSError):  # One that has ended is missed when it is listened to.
            link.send(kind, content)


def _admit(link: _Link, links: dict[int, _Link], count: int) -> None:
    try:
        link.wait_at_most(_HANDSHAKE_SECONDS)
        kind, host = link.receive()
        known = kind == f"host of {count}" and host in range(1, count)
        if not known or (host in links and not links[host].has_ended()):
            link.send("refused", f"{kind} came as number {host}, where {count} hosts have one each")
            link.close()
            return
        link.wait_at_most(None)
        links[host] = link
    except (OSError, ValueError):  # Whoever this is, it is none of the hosts.
        link.close()


def _join(address: tuple[str, int], index: int, count: int, patience: float) -> _Link:
    """Another host waits for host 0, and for its word that all have come."""
    deadline = time.monotonic() + patience
    while True:
        try:
            link = _Link(socket.create_connection(address, timeout=_HANDSHAKE_SECONDS))
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise HostLostError(
                    f"host 0 of {count} cannot be reached at {address[0]}:{address[1]} within "
                    f"{patience:.0f} s ({error.strerror or error})"
                ) from error
            time.sleep(_SECONDS_BETWEEN_TRIES)
    try:
        link.send(f"host of {count}", index)
        link.wait_at_most(patience + _HANDSHAKE_SECONDS)
        kind, content = link.receive()
    except (OSError, ValueError) as error:
        raise HostLostError(f"host 0 of {count} has ended before all hosts came") from error
    if kind == "refused":
        raise ValueError(content)
    link.wait_at_most(None)
    return link
