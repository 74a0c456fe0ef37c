"""Life, state and settings of containers through docker-py's models."""

import docker
from support import IMAGE, ClientTest, unittest


class Run(ClientTest):
    def test_run_returns_the_output(self):
        out = self.client.containers.run(IMAGE, ["/payload", "echo", "hello"], remove=True, network_mode="none")
        self.assertEqual(out, b"hello\n")
        self.assertEqual(self.client.containers.list(all=True), [])

    def test_run_raises_with_exit_code_and_stderr(self):
        with self.assertRaises(docker.errors.ContainerError) as caught:
            self.client.containers.run(IMAGE, ["sh", "-c", "echo bad >&2; exit 3"], remove=True, network_mode="none")
        self.assertEqual(caught.exception.exit_status, 3)
        self.assertEqual(caught.exception.stderr, b"bad\n")

    def test_run_tells_a_missing_program(self):
        with self.assertRaises(docker.errors.APIError) as caught:
            self.client.containers.run(IMAGE, ["/nosuch"], remove=True, network_mode="none")
        self.assertIn("no such file or directory", str(caught.exception))

    def test_run_of_a_missing_image_tries_to_pull(self):
        with self.assertRaises(docker.errors.APIError) as caught:
            self.client.containers.run("127.0.0.1:1/nothing:1", ["true"])
        self.assertIn("127.0.0.1:1", str(caught.exception))

    def test_run_detached_gives_a_container(self):
        container = self.client.containers.run(IMAGE, ["/payload", "pause"], detach=True, name="py-detached",
                                               network_mode="none")
        self.addCleanup(self.discard, container)
        container.reload()
        self.assertEqual(container.status, "running")
        self.assertEqual(container.name, "py-detached")
        self.assertEqual(len(container.id), 64)

    def test_run_stream_yields_lines(self):
        lines = list(self.client.containers.run(IMAGE, ["sh", "-c", "echo a; echo b"], stream=True,
                                                remove=True, network_mode="none"))
        self.assertEqual(b"".join(lines), b"a\nb\n")


class Life(ClientTest):
    def test_states_follow_the_verbs(self):
        container = self.container()
        states = []
        for verb in (lambda: None, container.start, container.pause, container.unpause,
                     lambda: container.stop(timeout=5), container.start, container.kill):
            verb()
            self.eventually(lambda: container.reload() or container.status != "removing")
            states.append(container.status)
        self.assertEqual(states, ["created", "running", "paused", "running", "exited", "running", "exited"])
        self.assertEqual(container.attrs["State"]["ExitCode"], 137)

    def test_restart_gives_a_new_process(self):
        container = self.started()
        container.reload()
        before = container.attrs["State"]["Pid"]
        container.restart(timeout=1)
        container.reload()
        self.assertEqual(container.status, "running")
        self.assertNotEqual(container.attrs["State"]["Pid"], before)

    def test_wait_gives_the_code(self):
        container = self.started(["/payload", "exit", "7"])
        self.assertEqual(container.wait()["StatusCode"], 7)
        self.assertEqual(container.wait(condition="not-running")["StatusCode"], 7)

    def test_wait_for_the_removal(self):
        container = self.started(["/payload", "exit", "4"], auto_remove=True)
        try:
            self.assertEqual(container.wait(condition="removed")["StatusCode"], 4)
        except docker.errors.NotFound:
            pass  # it was gone before the question came
        self.eventually(lambda: not self.client.containers.list(all=True))

    def test_wait_runs_out_of_time(self):
        container = self.started()
        with self.assertRaises(Exception) as caught:
            container.wait(timeout=1)
        self.assertIn("timed out", str(caught.exception).lower())

    def test_kill_with_a_signal(self):
        container = self.started(["/payload", "trap"])
        self.eventually(lambda: b"ready" in container.logs())
        container.kill(signal="SIGUSR2")
        self.assertEqual(container.wait()["StatusCode"], 42)

    def test_remove_wants_force_of_a_running_one(self):
        container = self.started()
        with self.assertRaises(docker.errors.APIError) as caught:
            container.remove()
        self.assertEqual(caught.exception.response.status_code, 409)
        container.remove(force=True)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get(container.id)

    def test_rename(self):
        container = self.container(name="py-old")
        container.rename("py-new")
        self.assertEqual(self.client.containers.get("py-new").id, container.id)
        with self.assertRaises(docker.errors.NotFound):
            self.client.containers.get("py-old")

    def test_a_name_is_taken_once(self):
        self.container(name="py-taken")
        with self.assertRaises(docker.errors.APIError) as caught:
            self.container(name="py-taken")
        self.assertEqual(caught.exception.response.status_code, 409)
        self.assertIn('The container name "/py-taken" is already in use', caught.exception.explanation)

    def test_update_changes_the_running_one(self):
        container = self.started(mem_limit="64m")
        container.update(mem_limit="96m", memswap_limit="96m", cpu_shares=512)
        container.reload()
        self.assertEqual(container.attrs["HostConfig"]["Memory"], 96 << 20)
        self.assertEqual(container.attrs["HostConfig"]["CpuShares"], 512)
        seen = container.exec_run(["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || "
                                               "cat /sys/fs/cgroup/memory.max"])
        self.assertEqual(seen.output, b"%d\n" % (96 << 20))

    def test_top_and_diff(self):
        container = self.started(["sh", "-c", "echo x > /new; echo ready; exec /payload pause"])
        self.eventually(lambda: b"ready" in container.logs())
        top = container.top()
        self.assertIn("PID", top["Titles"])
        self.assertEqual(len(top["Processes"]), 1)
        self.assertIn({"Path": "/new", "Kind": 1}, container.diff())

    def test_resize_of_a_terminal(self):
        container = self.started(["sh"], tty=True, stdin_open=True)
        container.resize(40, 100)
        seen = container.exec_run(["/payload", "pids"])
        self.assertEqual(seen.exit_code, 0)

    def test_stats_once_and_as_a_stream(self):
        container = self.started()
        once = container.stats(stream=False)
        self.assertEqual(once["pids_stats"]["current"], 1)
        self.assertGreater(once["memory_stats"]["limit"], 0)
        stream = container.stats(decode=True)
        self.assertEqual(next(stream)["id"], container.id)
        self.assertGreater(next(stream)["precpu_stats"]["system_cpu_usage"], 0)

    def test_prune(self):
        stopped = self.container()
        running = self.started()
        report = self.client.containers.prune()
        self.assertEqual(report["ContainersDeleted"], [stopped.id])
        running.reload()
        self.assertEqual(running.status, "running")


class Settings(ClientTest):
    def inside(self, command, **options):
        return self.client.containers.run(IMAGE, command, remove=True, **{"network_mode": "none", **options})

    def test_environment_user_workdir_hostname(self):
        seen = self.inside(["sh", "-c", "echo $A $(id -u) $(pwd) $(hostname)"], environment={"A": "1"}, user="1000",
                           working_dir="/tmp", hostname="named")
        self.assertEqual(seen, b"1 1000 /tmp named\n")

    def test_limits(self):
        seen = self.inside(["sh", "-c", "cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes;"
                            "cat pids.max 2>/dev/null || cat pids/pids.max"], mem_limit="50m", pids_limit=20)
        self.assertEqual(seen, b"%d\n20\n" % (50 << 20))

    def test_read_only_root_and_tmpfs(self):
        seen = self.inside(["sh", "-c", "touch /x 2>/dev/null && echo writable; touch /t/x && echo tmpfs"],
                           read_only=True, tmpfs={"/t": "size=1m"})
        self.assertEqual(seen, b"tmpfs\n")

    def test_capabilities_and_ulimits(self):
        seen = self.inside(["sh", "-c", "ulimit -n; grep CapBnd /proc/self/status"], cap_drop=["ALL"],
                           ulimits=[docker.types.Ulimit(name="nofile", soft=123, hard=456)])
        self.assertEqual(seen.split(), [b"123", b"CapBnd:", b"0000000000000000"])

    def test_init_is_pid_one(self):
        self.assertNotIn(b"payload", self.inside(["/payload", "file", "/proc/1/comm"], init=True))

    def test_labels_and_list_filters(self):
        made = self.container(name="py-labelled", labels={"key": "value"})
        self.assertEqual(made.labels["key"], "value")
        listed = self.client.containers.list(all=True, filters={"label": "key=value", "status": "created"})
        self.assertEqual([c.id for c in listed], [made.id])
        self.assertEqual(self.client.containers.list(all=True, filters={"label": "key=other"}), [])
        self.assertEqual([c.id for c in self.client.containers.list(all=True, filters={"name": "py-lab"})], [made.id])

    def test_published_ports(self):
        container = self.started(["/payload", "listen", "80", "answer"], network_mode="bridge",
                                 ports={"80/tcp": ("127.0.0.1", None)})
        container.reload()
        binding = container.ports["80/tcp"][0]
        self.assertEqual(binding["HostIp"], "127.0.0.1")
        self.assertGreater(int(binding["HostPort"]), 0)
        self.assertTrue(container.attrs["NetworkSettings"]["IPAddress"].startswith("172.17."))

    def test_restart_policy_is_kept(self):
        container = self.started(["/payload", "exit", "3"],
                                 restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
        self.eventually(lambda: container.reload() or (container.status == "exited" and
                                                       container.attrs["RestartCount"] == 2), 20)


if __name__ == "__main__":
    unittest.main()
