"""Logs, attach, exec and events: what docker-py reads from sockets."""

import socket
import threading
import time

import docker
from support import ClientTest, unittest


def receive(sock, size):
    out = b""
    while len(out) < size:
        part = sock.recv(size - len(out))
        if not part:
            break
        out += part
    return out


def raw(stream):
    """The socket below what docker-py gives."""
    return getattr(stream, "_sock", stream)


def frames(sock):
    """Both streams of a multiplexed connection, read to its end."""
    out = {1: b"", 2: b""}
    while True:
        head = receive(sock, 8)
        if len(head) < 8:
            return out[1], out[2]
        out[head[0]] += receive(sock, int.from_bytes(head[4:], "big"))


class Logs(ClientTest):
    def setUp(self):
        super().setUp()
        self.talker = self.started(["/payload", "both", "3"])
        self.talker.wait()

    def test_both_streams_and_each(self):
        self.assertEqual(self.talker.logs(stdout=True, stderr=False), b"out 1\nout 2\nout 3\n")
        self.assertEqual(self.talker.logs(stdout=False, stderr=True), b"err 1\nerr 2\nerr 3\n")
        self.assertEqual(len(self.talker.logs().splitlines()), 6)

    def test_tail_and_timestamps(self):
        lines = self.talker.logs(tail=2, timestamps=True).splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0].decode(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")

    def test_since_and_until(self):
        self.assertEqual(self.talker.logs(since=int(time.time()) + 100), b"")
        self.assertEqual(self.talker.logs(until=100), b"")
        self.assertEqual(len(self.talker.logs(since=100).splitlines()), 6)

    def test_follow_ends_with_the_container(self):
        container = self.started(["sh", "-c", "for i in 1 2 3; do echo line $i; done"])
        self.assertEqual(b"".join(container.logs(stream=True, follow=True)), b"line 1\nline 2\nline 3\n")


class Attach(ClientTest):
    def test_attach_streams_the_output(self):
        container = self.container(["/payload", "both", "2"])
        stream = container.attach(stream=True, stdout=True, stderr=True, demux=True)
        container.start()
        out = [b"", b""]
        for pair in stream:
            for i in (0, 1):
                out[i] += pair[i] or b""
        self.assertEqual(out, [b"out 1\nout 2\n", b"err 1\nerr 2\n"])

    def test_the_replay_of_an_ended_container_is_whole(self):
        container = self.started(["/payload", "both", "3"])
        container.wait()
        for _ in range(50):
            self.assertEqual(container.attach(logs=True, stream=False, stderr=False), b"out 1\nout 2\nout 3\n")

    def test_half_close_of_stdin_ends_the_input_only(self):
        # The low-level client sets StdinOnce, the models do not.
        made = self.api.create_container("payload:latest", ["/payload", "cat"], stdin_open=True,
                                         host_config=self.api.create_host_config(network_mode="none"))
        container = self.client.containers.get(made["Id"])
        self.addCleanup(self.discard, container)
        stream = container.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        sock = raw(stream)
        container.start()
        sock.sendall(b"fed by docker-py\n")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(frames(sock), (b"fed by docker-py\n", b"end\n"))
        self.assertEqual(container.wait()["StatusCode"], 0)

    def test_detach_keys_end_the_session_only(self):
        container = self.started(["sh"], tty=True, stdin_open=True)
        sock = raw(container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1, "detachKeys": "ctrl-x,x"}))
        sock.sendall(b"echo $((40+2))\n")
        seen = b""
        while b"42" not in seen:
            part = sock.recv(4096)
            self.assertTrue(part)
            seen += part
        sock.sendall(b"\x18x")
        while sock.recv(4096):
            pass
        container.reload()
        self.assertEqual(container.status, "running")


class Exec(ClientTest):
    def setUp(self):
        super().setUp()
        self.host = self.started()

    def test_output_and_exit_code(self):
        code, out = self.host.exec_run(["sh", "-c", "echo in; exit 4"])
        self.assertEqual((code, out), (4, b"in\n"))

    def test_demux(self):
        code, (out, err) = self.host.exec_run(["/payload", "both", "1"], demux=True)
        self.assertEqual((code, out, err), (0, b"out 1\n", b"err 1\n"))

    def test_user_workdir_environment_privileged(self):
        out = self.host.exec_run(["sh", "-c", "echo $A $(id -u) $(pwd)"], user="1000", workdir="/tmp",
                                 environment={"A": "1"}).output
        self.assertEqual(out, b"1 1000 /tmp\n")
        plain = self.host.exec_run(["grep", "CapEff", "/proc/self/status"]).output
        privileged = self.host.exec_run(["grep", "CapEff", "/proc/self/status"], privileged=True).output
        self.assertNotEqual(plain, privileged)

    def test_stream(self):
        stream = self.host.exec_run(["sh", "-c", "echo a; echo b"], stream=True).output
        self.assertEqual(b"".join(stream), b"a\nb\n")

    def test_the_exit_code_is_there_when_the_stream_ends(self):
        for code in range(20):
            made = self.api.exec_create(self.host.id, ["/payload", "exit", str(code)])
            self.api.exec_start(made["Id"])
            state = self.api.exec_inspect(made["Id"])
            self.assertEqual((state["Running"], state["ExitCode"]), (False, code))

    def test_half_close_of_stdin(self):
        made = self.api.exec_create(self.host.id, ["/payload", "cat"], stdin=True)
        sock = raw(self.api.exec_start(made["Id"], socket=True))
        sock.sendall(b"to the exec")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(frames(sock), (b"to the exec", b"end\n"))
        self.assertEqual(self.api.exec_inspect(made["Id"])["ExitCode"], 0)

    def test_terminal_and_resize(self):
        made = self.api.exec_create(self.host.id, ["sh", "-c", "read x; /payload winsize"], stdin=True, tty=True)
        sock = raw(self.api.exec_start(made["Id"], tty=True, socket=True))
        self.api.exec_resize(made["Id"], height=33, width=99)
        sock.sendall(b"\n")
        seen = b""
        while b"33 99" not in seen:
            part = sock.recv(4096)
            self.assertTrue(part, seen)
            seen += part

    def test_detached(self):
        made = self.api.exec_create(self.host.id, ["sh", "-c", "echo x > /made"])
        self.assertFalse(self.api.exec_start(made["Id"], detach=True))
        self.eventually(lambda: self.host.exec_run(["cat", "/made"]).output == b"x\n")

    def test_a_paused_container_refuses(self):
        self.host.pause()
        with self.assertRaises(docker.errors.APIError) as caught:
            self.host.exec_run(["true"])
        self.assertEqual(caught.exception.response.status_code, 409)
        self.host.unpause()


class Events(ClientTest):
    def test_a_life_from_start_to_end(self):
        since = int(time.time())
        container = self.started(["/payload", "exit", "6"], labels={"of": "events"})
        container.wait()
        container.remove()
        told = list(self.client.events(since=since, until=int(time.time()) + 1, decode=True,
                                       filters={"container": container.id}))
        actions = [e["Action"] for e in told if e["Type"] == "container"]
        self.assertEqual(actions, ["create", "start", "die", "destroy"])
        died = told[actions.index("die")]
        self.assertEqual(died["Actor"]["Attributes"]["exitCode"], "6")
        self.assertEqual(died["Actor"]["Attributes"]["of"], "events")
        self.assertEqual(died["status"], "die")
        self.assertEqual(died["id"], container.id)

    def test_live_events_end_when_closed(self):
        stream = self.client.events(decode=True, filters={"event": "create", "type": "container"})
        threading.Thread(target=self.container, kwargs={"name": "py-event"}).start()
        self.assertEqual(next(stream)["Actor"]["Attributes"]["name"], "py-event")
        stream.close()


if __name__ == "__main__":
    unittest.main()
