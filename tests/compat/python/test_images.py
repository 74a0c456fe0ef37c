"""Images, archives and commits."""

import io
import tarfile

import docker
from support import IMAGE, ClientTest, unittest


class Images(ClientTest):
    def untag(self, name):
        try:
            self.client.images.remove(name, force=True)
        except docker.errors.ImageNotFound:
            pass

    def test_list_get_history(self):
        self.assertIn(IMAGE, [tag for image in self.client.images.list() for tag in image.tags])
        image = self.client.images.get("payload")
        self.assertTrue(image.id.startswith("sha256:"))
        self.assertEqual(image.attrs["Os"], "linux")
        self.assertEqual(len(image.history()), 1)
        self.assertEqual([i.id for i in self.client.images.list(name="payload")], [image.id])
        self.assertEqual(self.client.images.list(filters={"dangling": True}), [])

    def test_a_missing_image_is_image_not_found(self):
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("nosuch")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.api.create_container("nosuch", "true")

    def test_tag_and_remove(self):
        self.addCleanup(self.untag, "py-tag:v1")
        self.assertTrue(self.client.images.get(IMAGE).tag("py-tag", "v1"))
        self.assertEqual(self.client.images.get("py-tag:v1").id, self.client.images.get(IMAGE).id)
        self.client.images.remove("py-tag:v1")
        with self.assertRaises(docker.errors.ImageNotFound):
            self.client.images.get("py-tag:v1")

    def test_an_image_in_use_is_a_conflict(self):
        self.container()
        with self.assertRaises(docker.errors.APIError) as caught:
            self.client.images.remove(IMAGE)
        self.assertEqual(caught.exception.response.status_code, 409)

    def test_save_and_load(self):
        self.addCleanup(self.untag, "py-saved:1")
        image = self.client.images.get(IMAGE)
        image.tag("py-saved", "1")
        saved = b"".join(self.client.images.get("py-saved:1").save(named="py-saved:1"))
        self.assertIn("manifest.json", tarfile.open(fileobj=io.BytesIO(saved)).getnames())
        self.client.images.remove("py-saved:1")
        loaded = self.client.images.load(saved)
        self.assertEqual([i.id for i in loaded], [image.id])
        self.assertIn("py-saved:1", self.client.images.get("py-saved:1").tags)

    def test_export_and_import(self):
        self.addCleanup(self.untag, "py-imported:1")
        container = self.container(["/payload", "echo", "x"])
        exported = b"".join(container.export())
        self.assertIn("payload", [m.name.lstrip("./") for m in tarfile.open(fileobj=io.BytesIO(exported))])
        self.api.import_image_from_data(exported, repository="py-imported", tag="1")
        out = self.client.containers.run("py-imported:1", ["/payload", "echo", "again"], remove=True,
                                         network_mode="none")
        self.assertEqual(out, b"again\n")

    def test_commit(self):
        self.addCleanup(self.untag, "py-commit:1")
        container = self.started(["sh", "-c", "echo made > /made"])
        container.wait()
        image = container.commit("py-commit", "1", message="why", author="who", changes=["ENV A=b"])
        self.assertIn("A=b", image.attrs["Config"]["Env"])
        self.assertEqual(image.attrs["Author"], "who")
        self.assertEqual(image.history()[0]["Comment"], "why")
        out = self.client.containers.run("py-commit:1", ["sh", "-c", "cat /made; echo $A"], remove=True,
                                         network_mode="none")
        self.assertEqual(out, b"made\nb\n")

    def test_prune_takes_dangling_ones(self):
        container = self.started(["sh", "-c", "echo only here > /only"])
        container.wait()
        dangling = container.commit()
        self.discard(container)
        report = self.client.images.prune(filters={"dangling": True})
        self.assertIn(dangling.id, [d.get("Deleted") for d in report["ImagesDeleted"]])


if __name__ == "__main__":
    unittest.main()
