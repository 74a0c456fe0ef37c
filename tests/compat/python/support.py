"""What the suites of docker-py share. The engine is the one of DOCKER_HOST; the image `payload` is loaded already."""

import time
import unittest

import docker

IMAGE = "payload:latest"


class ClientTest(unittest.TestCase):
    """A client of docker-py, as its users make one, and containers that go with the test."""

    def setUp(self):
        self.client = docker.from_env(timeout=60)
        self.addCleanup(self.client.close)
        self.api = self.client.api

    def container(self, command=("/payload", "pause"), **options):
        """A container that is not started."""
        options.setdefault("network_mode", "none")
        made = self.client.containers.create(IMAGE, list(command), **options)
        self.addCleanup(self.discard, made)
        return made

    def started(self, command=("/payload", "pause"), **options):
        made = self.container(command, **options)
        made.start()
        return made

    def discard(self, container):
        try:
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass

    def eventually(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, "never came true")
            time.sleep(0.02)
