"""The servers that other tests rely on: they start, answer, refuse, die and come back as they should."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest

from server_fixtures import TOKEN_SECONDS, header_lines
from servers.certificates import Authority
from servers.etcd import READABLE, READER, ROOT, WRITER, EtcdCluster, EtcdServer
from servers.etcdctl import Etcdctl, EtcdctlFailed, User
from servers.process import HOST, Server, ServerFailed, free_ports, running_servers

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.dynamodb import DynamoDb

# Without a proxy, whatever the environment says.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def gateway(server: EtcdServer, path: str, token: str = "", **body: str) -> dict[str, Any]:
    """A call through etcd's HTTP gateway, which keeps a token where etcdctl gets a new one each time."""
    request = urllib.request.Request(f"{server.url}/v3/{path}", json.dumps(body).encode())
    if token:
        request.add_header("Authorization", token)
    try:
        with DIRECTLY.open(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
    except HTTPError as error:
        with error:
            answer = json.load(error)
    return answer


def log_in(server: EtcdServer, user: User = WRITER) -> str:
    token: str = gateway(server, "auth/authenticate", name=user.name, password=user.password)["token"]
    return token


def read(server: EtcdServer, token: str) -> dict[str, Any]:
    return gateway(server, "kv/range", token, key=base64.b64encode(b"key").decode())


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    "kind", ["etcd", "etcd_auth_simple", "etcd_auth_jwt", "etcd_tls", "etcd_mutual_tls", "etcd_auth_tls"]
)
def test_each_kind_of_etcd_stores_what_etcdctl_writes(kind: str, request: pytest.FixtureRequest) -> None:
    server: EtcdServer = request.getfixturevalue(kind)
    etcdctl = server.etcdctl
    etcdctl.clear()
    etcdctl.put("--key", "-value")
    etcdctl.put("bytes", b"\xff\0")
    etcdctl.put("empty", "")
    assert etcdctl.get("--key") == b"-value"
    assert etcdctl.get("missing") is None
    assert etcdctl.everything() == {"--key": b"-value", "bytes": b"\xff\0", "empty": b""}
    etcdctl.delete("bytes")
    assert etcdctl.everything("b") == {}
    etcdctl.clear()
    assert etcdctl.everything() == {}


def test_the_clean_etcd_holds_nothing(etcd: EtcdServer, request: pytest.FixtureRequest) -> None:
    etcd.etcdctl.put("left", "over")
    assert request.getfixturevalue("clean_etcd").etcdctl.everything() == {}


def test_users_may_do_what_their_roles_allow(etcd_auth_simple: EtcdServer) -> None:
    server = etcd_auth_simple
    writer, reader = server.etcdctl_as(WRITER), server.etcdctl_as(READER)
    writer.put(f"{READABLE}key", "value")
    writer.put("key", "value")
    assert reader.everything(READABLE) == {f"{READABLE}key": b"value"}
    with pytest.raises(EtcdctlFailed, match="permission denied"):
        reader.get("key")
    with pytest.raises(EtcdctlFailed, match="permission denied"):
        reader.put(f"{READABLE}key", "other")


def test_users_and_roles_can_be_changed(etcd_auth_simple: EtcdServer) -> None:
    server, other = etcd_auth_simple, User("other", "first")
    server.etcdctl.add_user(other, "everything")
    server.etcdctl_as(other).put("key", "value")
    server.etcdctl.change_password(User("other", "second"))
    with pytest.raises(EtcdctlFailed, match="invalid user ID or password"):
        server.etcdctl_as(other).put("key", "value")
    server.etcdctl.revoke_role("other", "everything")
    with pytest.raises(EtcdctlFailed, match="permission denied"):
        server.etcdctl_as(User("other", "second")).put("key", "value")
    server.etcdctl.delete_user("other")


@pytest.mark.parametrize("kind", ["etcd_auth_simple", "etcd_auth_jwt", "etcd_auth_tls"])
def test_a_wrong_or_missing_password_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    server: EtcdServer = request.getfixturevalue(kind)
    with pytest.raises(EtcdctlFailed, match="invalid user ID or password"):
        server.etcdctl_as(User(ROOT.name, "wrong")).get("key")
    with pytest.raises(EtcdctlFailed, match=r"user name is empty|permission denied"):
        server.etcdctl_as(None).get("key")


def test_a_simple_token_expires_when_it_is_not_used(etcd_auth_simple: EtcdServer) -> None:
    token = log_in(etcd_auth_simple)
    for _ in range(2):
        time.sleep(TOKEN_SECONDS * 0.6)
        assert "header" in read(etcd_auth_simple, token)
    # etcd looks for old ones once a second.
    time.sleep(TOKEN_SECONDS + 1.2)
    assert read(etcd_auth_simple, token)["code"] == 16


def test_a_jwt_expires_even_when_it_is_used(
    etcd_auth_jwt: EtcdServer, eventually: Callable[[Callable[[], object]], None]
) -> None:
    token = log_in(etcd_auth_jwt)
    assert "header" in read(etcd_auth_jwt, token)
    eventually(lambda: read(etcd_auth_jwt, token).get("code") == 16)


def test_tls_wants_the_right_authority(etcd_tls: EtcdServer, tmp_path: Path) -> None:
    stranger = Authority(tmp_path)
    with pytest.raises(EtcdctlFailed):
        Etcdctl([etcd_tls.url], ca_file=stranger.ca_file).run("--command-timeout=0.5s", "get", "key")


def test_the_certificate_is_good_for_both_names(etcd_tls: EtcdServer, authority: Authority) -> None:
    etcdctl = Etcdctl([f"https://localhost:{etcd_tls.port}"], ca_file=authority.ca_file)
    etcdctl.put("key", "value")
    assert etcd_tls.etcdctl.get("key") == b"value"


def test_mutual_tls_wants_a_certificate(etcd_mutual_tls: EtcdServer, authority: Authority) -> None:
    with pytest.raises(EtcdctlFailed):
        Etcdctl([etcd_mutual_tls.url], ca_file=authority.ca_file).run("--command-timeout=0.5s", "get", "key")


def test_with_mutual_tls_the_common_name_is_a_user(etcd_auth_tls: EtcdServer, authority: Authority) -> None:
    identity = authority.client(WRITER.name)
    etcdctl = Etcdctl([etcd_auth_tls.url], ca_file=authority.ca_file, identity=identity)
    etcdctl.put("key", "value")
    assert etcd_auth_tls.etcdctl.get("key") == b"value"


def test_a_paused_etcd_does_not_answer_until_it_goes_on(own_etcd: EtcdServer) -> None:
    own_etcd.etcdctl.put("key", "value")
    own_etcd.pause()
    assert not refuses(own_etcd.port)
    with pytest.raises(EtcdctlFailed, match="deadline exceeded"):
        own_etcd.etcdctl.run("--command-timeout=0.3s", "get", "key")
    own_etcd.resume()
    assert own_etcd.etcdctl.get("key") == b"value"


def test_a_killed_etcd_refuses_and_comes_back_with_its_data(own_etcd: EtcdServer) -> None:
    own_etcd.etcdctl.put("key", "value")
    port, pid = own_etcd.port, own_etcd.pid
    own_etcd.kill()
    assert refuses(port)
    assert is_gone(pid)
    assert not own_etcd.running
    own_etcd.restart()
    assert own_etcd.port == port
    assert own_etcd.pid != pid
    assert own_etcd.etcdctl.get("key") == b"value"


def test_a_paused_etcd_can_be_restarted(own_etcd: EtcdServer) -> None:
    own_etcd.pause()
    own_etcd.restart()
    assert own_etcd.etcdctl.get("key") is None


def test_the_cluster_survives_the_death_of_its_leader(etcd_cluster: EtcdCluster) -> None:
    etcd_cluster.etcdctl.put("key", "value")
    dead = etcd_cluster.leader()
    dead.kill()
    leader = etcd_cluster.leader()
    assert leader is not dead
    leader.etcdctl.put("key", "later")
    dead.restart()
    etcd_cluster.leader()
    assert [member.etcdctl.get("key") for member in etcd_cluster.members] == [b"later"] * 3


def test_a_cluster_without_a_majority_takes_no_writes(etcd_cluster: EtcdCluster) -> None:
    one, two, three = etcd_cluster.members
    two.kill()
    three.pause()
    with pytest.raises(EtcdctlFailed):
        one.etcdctl.run("--command-timeout=0.5s", "put", "key", "value")
    three.resume()
    etcd_cluster.leader()
    one.etcdctl.put("key", "value")
    assert three.etcdctl.get("key") == b"value"


def test_the_header_names_the_versions(etcd: EtcdServer, dynamodb: DynamoDb) -> None:
    etcd_line, dynamodb_line = header_lines()
    assert etcd_line.startswith(f"etcd: etcd {etcd.version}, ")
    assert dynamodb_line == f"dynamodb: {dynamodb.what}"


def test_an_etcd_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TETHERDB_ETCD", "/no/such/etcd")
    assert header_lines()[0] == "etcd: none (TETHERDB_ETCD names '/no/such/etcd', and no file is there)"


class Sleeper(Server):
    """Listens on its port; or ends at once, if `failing`."""

    failing = ""

    def command(self) -> list[str]:
        program = """
            import socket, sys, time
            if sys.argv[2]:
                sys.exit(sys.argv[2])
            listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
            print("listening", flush=True)
            time.sleep(600)
        """
        return [sys.executable, "-c", textwrap.dedent(program), str(self.port), self.failing]

    def is_ready(self) -> bool:
        return "listening" in self.log_since_launch()


def choose_first(monkeypatch: pytest.MonkeyPatch, *choices: list[int]) -> None:
    """Makes these the next choices of ports."""
    left = list(choices)

    def choose(count: int) -> list[int]:
        return left.pop(0) if left else free_ports(count)

    monkeypatch.setattr("servers.process.free_ports", choose)


def test_nothing_runs_after_the_end(tmp_path: Path) -> None:
    with Sleeper("sleeper", tmp_path) as server:
        pid = server.pid
        assert server in running_servers()
    assert is_gone(pid)
    assert server not in running_servers()
    server.stop()


def test_a_server_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    server = Sleeper("sleeper", tmp_path)
    server.failing = "no licence"
    with pytest.raises(ServerFailed, match="sleeper ended with 1 instead of starting:\nno licence"):
        server.start()
    assert not server.running


def test_a_port_that_somebody_took_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as listener:
        taken = listener.getsockname()[1]
        choose_first(monkeypatch, [taken])
        with Sleeper("sleeper", tmp_path) as server:
            assert server.port != taken
            assert "already in use" in server.log()


def test_a_cluster_gives_up_a_port_that_somebody_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        last = [listener.getsockname()[1], *free_ports(1)]
        choose_first(monkeypatch, free_ports(2), free_ports(2), last)
        with EtcdCluster(tmp_path) as cluster:
            assert cluster.members[2].ports != last
            cluster.etcdctl.put("key", "value")


def test_no_port_is_chosen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member of a cluster chooses before the first of them listens."""
    monkeypatch.setattr("servers.process.PORTS", range(20_000, 20_100))
    chosen_before: set[int] = set()
    monkeypatch.setattr("servers.process._chosen", chosen_before)
    chosen = [port for _ in range(10) for port in free_ports(4)]
    assert len(set(chosen)) == len(chosen)
    # Nor does it search for ever once it has chosen many.
    assert len({*free_ports(40), *free_ports(40)}) >= 40


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_server_outlives_the_tests(
    tmp_path: Path, number: signal.Signals, eventually: Callable[[Callable[[], object]], None]
) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from servers.etcd import EtcdServer
        server = EtcdServer(Path(sys.argv[1]))
        server.start()
        print(server.port, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as tests:
        assert tests.stdout is not None
        port = int(tests.stdout.readline())
        assert not refuses(port)
        tests.send_signal(number)
        tests.wait(20)
    eventually(lambda: refuses(port))
