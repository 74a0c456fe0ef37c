"""Volumes, networks' reading half, the system's own documents."""

import docker
from support import IMAGE, ClientTest, unittest


class Volumes(ClientTest):
    def volume(self, name, **options):
        made = self.client.volumes.create(name, **options)
        self.addCleanup(self.drop, made)
        return made

    def drop(self, volume):
        try:
            volume.remove()
        except docker.errors.NotFound:
            pass

    def test_create_list_inspect_remove(self):
        made = self.volume("py-volume", labels={"a": "b"})
        self.assertEqual(made.attrs["Driver"], "local")
        self.assertEqual([v.name for v in self.client.volumes.list(filters={"label": "a=b"})], ["py-volume"])
        self.assertEqual(self.client.volumes.get("py-volume").attrs["Labels"], {"a": "b"})
        made.remove()
        with self.assertRaises(docker.errors.NotFound):
            self.client.volumes.get("py-volume")

    def test_files_stay_between_containers(self):
        self.volume("py-kept")
        mount = {"py-kept": {"bind": "/data", "mode": "rw"}}
        run = lambda command, how=mount: self.client.containers.run(IMAGE, command, remove=True, network_mode="none",
                                                                    volumes=how)
        run(["sh", "-c", "echo kept > /data/file"])
        self.assertEqual(run(["cat", "/data/file"]), b"kept\n")
        with self.assertRaises(docker.errors.ContainerError):
            run(["touch", "/data/x"], {"py-kept": {"bind": "/data", "mode": "ro"}})

    def test_mount_objects(self):
        self.volume("py-mounted")
        container = self.started(mounts=[docker.types.Mount("/m", "py-mounted"),
                                         docker.types.Mount("/t", None, type="tmpfs", tmpfs_size=1 << 20)])
        container.reload()
        kinds = {m["Destination"]: m["Type"] for m in container.attrs["Mounts"]}
        self.assertEqual(kinds, {"/m": "volume", "/t": "tmpfs"})

    def test_in_use_is_a_conflict(self):
        volume = self.volume("py-used")
        container = self.container(volumes={"py-used": {"bind": "/data"}})
        with self.assertRaises(docker.errors.APIError) as caught:
            volume.remove()
        self.assertEqual(caught.exception.response.status_code, 409)
        container.remove()

    def test_prune(self):
        self.volume("py-pruned")
        report = self.client.volumes.prune(filters={"all": True})
        self.assertIn("py-pruned", report["VolumesDeleted"])


class System(ClientTest):
    def test_ping_version_info(self):
        self.assertTrue(self.client.ping())
        self.assertEqual(self.client.version()["Os"], "linux")
        self.assertEqual(self.client.info()["Driver"], "overlay2")

    def test_a_client_that_asks_for_the_newest_version(self):
        newest = docker.DockerClient.from_env(version="auto")
        self.assertEqual(newest.api.api_version, newest.version()["ApiVersion"])
        self.assertEqual(newest.containers.list(), [])
        newest.close()

    def test_networks_are_listed(self):
        self.assertLessEqual({"bridge", "host", "none"}, {n.name for n in self.client.networks.list()})
        self.assertEqual(self.client.networks.get("bridge").attrs["Driver"], "bridge")


if __name__ == "__main__":
    unittest.main()
