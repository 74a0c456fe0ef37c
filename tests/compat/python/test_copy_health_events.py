"""docker cp, health, disk use, and events for a client that comes back."""

import io
import tarfile
import threading
import time

import docker
from support import ClientTest, unittest

SECOND = 1_000_000_000


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o640
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def files_of(stream):
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}


class Copy(ClientTest):
    def test_both_ways_in_every_state(self):
        container = self.container(["sh", "-c", "cat /tmp/created; exec /payload pause"])

        def both_ways(name):
            self.assertTrue(container.put_archive("/tmp", tar_of({name: name.encode()})))
            stream, stat = container.get_archive("/tmp/" + name)
            self.assertEqual(files_of(stream), {name: name.encode()})
            self.assertEqual((stat["name"], stat["size"], stat["mode"]), (name, len(name), 0o640))

        both_ways("created")
        container.start()
        self.eventually(lambda: container.logs().endswith(b"ready\n"))
        self.assertEqual(container.logs(), b"createdready\n")
        both_ways("running")
        container.pause()
        both_ways("paused")
        container.unpause()
        self.assertEqual(container.exec_run(["cat", "/tmp/paused"]).output, b"paused")
        container.kill()
        container.wait()
        both_ways("exited")

    def test_a_directory_through_a_volume(self):
        volume = self.client.volumes.create("py-copy")
        self.addCleanup(volume.remove)
        container = self.container(volumes={"py-copy": {"bind": "/data", "mode": "rw"}})
        container.put_archive("/data", tar_of({"one": b"1", "two": b"22"}))
        stream, _ = container.get_archive("/data", encode_stream=True)
        self.assertEqual(files_of(stream), {"data/one": b"1", "data/two": b"22"})
        container.remove()

    def test_errors(self):
        container = self.container(read_only=True)
        with self.assertRaises(docker.errors.NotFound):
            container.get_archive("/no/such")
        with self.assertRaises(docker.errors.NotFound):
            container.put_archive("/no/such", tar_of({"a": b""}))
        with self.assertRaises(docker.errors.APIError):
            container.put_archive("/", tar_of({"a": b""}))


class Health(ClientTest):
    def status(self, container):
        container.reload()
        return container.attrs["State"]["Health"]["Status"]

    def probed(self, test, **options):
        return self.started(healthcheck={"test": test, "interval": SECOND // 10, "retries": 1, **options})

    def test_healthy_and_then_not(self):
        container = self.probed(["CMD", "sh", "-c", "echo probed; [ ! -e /broken ]"])
        self.assertIn(self.status(container), ("starting", "healthy"))
        self.eventually(lambda: self.status(container) == "healthy")
        entry = container.attrs["State"]["Health"]["Log"][0]
        self.assertEqual((entry["ExitCode"], entry["Output"]), (0, "probed\n"))
        self.assertEqual([c.id for c in self.client.containers.list(filters={"health": "healthy"})], [container.id])
        container.exec_run(["touch", "/broken"])
        self.eventually(lambda: self.status(container) == "unhealthy")
        self.assertGreaterEqual(container.attrs["State"]["Health"]["FailingStreak"], 1)
        self.assertIn("unhealthy", self.client.containers.list()[0].attrs["State"]["Health"]["Status"])

    def test_the_change_is_an_event(self):
        since = int(time.time())
        container = self.probed(["CMD", "true"])
        self.eventually(lambda: self.status(container) == "healthy")
        told = self.client.events(since=since, until=int(time.time()) + 1, decode=True,
                                  filters={"container": container.id, "event": "health_status"})
        self.assertEqual([e["Action"] for e in told], ["health_status: healthy"])

    def test_switched_off(self):
        container = self.started(healthcheck={"test": ["NONE"]})
        self.assertIsNone(container.attrs["State"].get("Health"))


class DiskUse(ClientTest):
    def test_what_was_written_is_counted(self):
        volume = self.client.volumes.create("py-df")
        self.addCleanup(volume.remove)
        container = self.started(["sh", "-c", "head -c 4321 /dev/zero > /made; head -c 1234 /dev/zero > /data/made"],
                                 volumes={"py-df": {"bind": "/data", "mode": "rw"}})
        container.wait()
        usage = self.client.df()
        self.assertEqual(usage["LayersSize"], sum(image["Size"] for image in usage["Images"]))
        sizes = {each["Id"]: each["SizeRw"] for each in usage["Containers"]}
        self.assertEqual(sizes, {container.id: 4321})
        volumes = {each["Name"]: each["UsageData"] for each in usage["Volumes"]}
        self.assertEqual(volumes["py-df"], {"RefCount": 1, "Size": 1234})
        container.remove()


class Reconnect(ClientTest):
    """A client that goes on from the time of the last event that it saw."""

    def test_each_event_is_seen_once(self):
        names = [f"py-again-{number}" for number in range(12)]
        filters = {"type": "container", "event": "create", "label": "of=again"}
        at = f"{int(time.time()) - 1}.000000000"
        seen = []
        maker = threading.Thread(target=lambda: [self.container(name=name, labels={"of": "again"}) for name in names])
        maker.start()
        while len(seen) < len(names):
            stream = self.client.events(since=at, decode=True, filters=filters)
            for _ in range(3):  # then the connection is lost
                event = next(stream)
                seen.append(event["Actor"]["Attributes"]["name"])
                next_moment = event["timeNano"] + 1
                at = f"{next_moment // SECOND}.{next_moment % SECOND:09d}"
            stream.close()
        maker.join()
        self.assertEqual(seen, names)


if __name__ == "__main__":
    unittest.main()
