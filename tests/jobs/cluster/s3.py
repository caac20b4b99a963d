"""A real S3 server on loopback (moto's), in a process of its own, on a free port; what it keeps is gone with it.

Not in the tests' process: vLLM looks at every attribute of every module there is, and Flask's globals raise outside of a request.
"""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from tests.jobs.drive import ROOT

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "of-a-test",
    "AWS_SECRET_ACCESS_KEY": "of-a-test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Server:
    """Where it listens."""

    address: str

    def uri(self, place: str) -> str:
        """`s3://PLACE` there, where PLACE begins with a bucket."""
        return f"s3://{place}?endpoint_override={self.address}&scheme=http"

    def make(self, bucket: str) -> str:
        """A bucket; returns its name."""
        self._ask("PUT", bucket)
        return bucket

    def forget(self) -> None:
        """Lose all buckets."""
        self._ask("POST", "moto-api/reset")

    def kind(self, place: str) -> str:
        """The content type of an object."""
        return str(self._ask("GET", quote(place)).headers["Content-Type"])

    def _ask(self, method: str, path: str):
        return urllib.request.urlopen(urllib.request.Request(f"http://{self.address}/{path}", method=method))


@contextmanager
def server() -> Iterator[Server]:
    """The server, and in the environment what its clients need."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
    command = [sys.executable, "-m", "tests.jobs.cluster.s3"]
    running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield Server(running.stdout.readline().strip())
    finally:
        running.kill()
        running.communicate()
        os.environ.clear()
        os.environ.update(before)


def serve() -> None:
    """Serve until standard input ends, which it also does when the tests' process is gone."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    print("{}:{}".format(*running.get_host_and_port()), flush=True)
    sys.stdin.read()
    running.stop()


if __name__ == "__main__":
    serve()
