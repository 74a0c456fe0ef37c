"""Volumes, networks' reading half, the system's own documents, and files in and out of containers."""

import io
import tarfile

import docker
from support import IMAGE, ClientTest, unittest


class Volumes(ClientTest):
    def volume(self, name, **options):
        made = self.client.volumes.create(name, **options)
        self.addCleanup(lambda: self.api.remove_volume(name, force=True))
        return made

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

    def test_df_counts(self):
        self.container()
        report = self.client.df()
        self.assertEqual(len(report["Containers"]), 1)
        self.assertGreater(report["LayersSize"], 0)


class Files(ClientTest):
    def tar(self, name, content):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return out.getvalue()

    def test_put_into_a_created_container_and_get_back(self):
        container = self.container(["cat", "/tmp/given"])
        self.assertTrue(container.put_archive("/tmp", self.tar("given", b"through the archive\n")))
        container.start()
        container.wait()
        self.assertEqual(container.logs(), b"through the archive\n")
        chunks, stat = container.get_archive("/tmp/given")
        self.assertEqual(stat["size"], 20)
        archive = tarfile.open(fileobj=io.BytesIO(b"".join(chunks)))
        self.assertEqual(archive.extractfile("given").read(), b"through the archive\n")

    def test_running_container_and_missing_path(self):
        container = self.started()
        container.put_archive("/", self.tar("live", b"x"))
        self.assertEqual(container.exec_run(["cat", "/live"]).output, b"x")
        with self.assertRaises(docker.errors.NotFound):
            container.get_archive("/nosuch")


if __name__ == "__main__":
    unittest.main()
