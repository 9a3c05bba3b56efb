"""Hosts as threads of this process, on sockets of this machine."""

import queue
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hierjax.runs.hosts import HostLostError, Hosts, meet

SOON = 20


@pytest.fixture
def address():
    with socket.create_server(("", 0)) as server:
        return f"localhost:{server.getsockname()[1]}"


def meet_all(address, on_lost):
    """A host for each function, the last to come first."""
    count = len(on_lost)
    with ThreadPoolExecutor(count) as pool:
        places = [
            pool.submit(meet, address, index, count, on_lost[index], SOON)
            for index in reversed(range(count))
        ]
        return [place.result() for place in reversed(places)]


def connect(address):
    deadline = time.monotonic() + SOON
    while True:
        try:
            return socket.create_connection(("localhost", int(address.split(":")[1])))
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def in_step(hosts, method, *args_of_each):
    with ThreadPoolExecutor(len(hosts)) as pool:
        calls = [
            pool.submit(getattr(host, method), *args)
            for host, args in zip(hosts, args_of_each, strict=True)
        ]
        return [call.result(timeout=SOON) for call in calls]


def test_one_host_has_only_itself_to_ask():
    hosts = Hosts()
    assert (hosts.index, hosts.count) == (0, 1)
    assert hosts.gather({"found": 3}) == [{"found": 3}]
    hosts.close()


def test_all_learn_what_each_has_in_the_order_of_the_hosts(address):
    hosts = meet_all(address, [None] * 3)
    assert [host.index for host in hosts] == [0, 1, 2]
    for value in range(5):
        gathered = in_step(hosts, "gather", *[(index * 10 + value,) for index in range(3)])
        assert gathered == [[value, 10 + value, 20 + value]] * 3
    in_step(hosts, "close", (), (), ())


@pytest.mark.parametrize("ended", [0, 2])
def test_the_others_are_told_which_host_has_ended(address, ended):
    lost = [queue.Queue() for _ in range(3)]
    hosts = meet_all(address, [each.put for each in lost])
    hosts[ended]._is_closing = True  # A process that has ended tells nobody.
    for link in hosts[ended]._links.values():
        link.close()
    for host in {0, 1, 2} - {ended}:
        line = lost[host].get(timeout=SOON)
        assert line == f"host {ended} of 3 has ended, or cannot be reached"


def test_waiting_for_a_host_that_ends_is_an_error(address):
    said = []
    hosts = meet_all(address, [said.append, lambda line: None])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hosts[0].gather, None)
        time.sleep(0.1)
        hosts[1]._links[0].close()
        with pytest.raises(HostLostError, match="host 1 of 2"):
            waiting.result(timeout=SOON)
    # Before the waiting one woke.
    assert said == ["host 1 of 2 has ended, or cannot be reached"]


def test_a_finished_task_loses_nobody(address):
    lost = []
    hosts = meet_all(address, [lost.append] * 3)
    in_step(hosts, "close", (), (), ())
    time.sleep(0.2)
    assert lost == []


def test_a_host_that_does_not_come_is_named_to_all(address):
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, address, 0, 3, None, 1.0)
        second = pool.submit(meet, address, 1, 3, None, SOON)
        with pytest.raises(HostLostError, match="host 2 of 3 did not come within 1 s"):
            first.result(timeout=SOON)
        with pytest.raises(ValueError, match="host 2 of 3 did not come within 1 s"):
            second.result(timeout=SOON)


def test_without_host_0_there_is_nobody_to_reach(address):
    with pytest.raises(HostLostError, match=f"host 0 of 2 cannot be reached at {address}"):
        meet(address, 1, 2, None, 0.5)


def test_a_number_is_given_once_and_strangers_are_let_go(address):
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, address, 0, 3, None, SOON)
        second = pool.submit(meet, address, 1, 3, None, SOON)
        time.sleep(0.3)
        with pytest.raises(ValueError, match="came as number 1, where 3 hosts have one each"):
            meet(address, 1, 3, None, SOON)
        with pytest.raises(ValueError, match="host of 4 came as number 3"):
            meet(address, 3, 4, None, SOON)
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"5\n", b"null\n", b'["host of 3", [2]]\n'):
            with connect(address) as stranger:
                stranger.sendall(words)
        third = meet(address, 2, 3, None, SOON)
        hosts = [first.result(timeout=SOON), second.result(timeout=SOON), third]
    assert in_step(hosts, "gather", (0,), (1,), (2,)) == [[0, 1, 2]] * 3


def test_a_host_that_is_started_again_takes_its_own_place(address):
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, address, 0, 3, None, SOON)
        with connect(address) as died:
            died.sendall(b'["host of 3", 1]\n')
            time.sleep(0.1)
        again = pool.submit(meet, address, 1, 3, None, SOON)
        time.sleep(0.1)
        third = meet(address, 2, 3, None, SOON)
        hosts = [first.result(timeout=SOON), again.result(timeout=SOON), third]
    assert in_step(hosts, "gather", (0,), (1,), (2,)) == [[0, 1, 2]] * 3


def test_a_port_in_use_is_refused():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=f"localhost:{port} cannot be opened .* choose anoth"):
            meet(f"localhost:{port}", 0, 2, None, 1.0)


@pytest.mark.parametrize("wrong", ["localhost", "localhost:", ":80", "localhost:port", "a:70000"])
def test_an_address_has_a_port(wrong):
    with pytest.raises(ValueError, match="must be an address and a port"):
        meet(wrong, 0, 2, None, 1.0)


def test_hosts_are_numbered_from_0():
    with pytest.raises(ValueError, match="process_id=2 must be at least 0 and below num_process"):
        meet("localhost:1234", 2, 2, None, 1.0)
