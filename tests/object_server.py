"""Servers on loopback: one of objects, as Amazon's S3 answers, and one of files."""

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from spiketype import location

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "bucket"


@contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Run an S3 server with an empty bucket; yield the environment of its users."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    _client(url).create_bucket(Bucket=BUCKET)
    try:
        yield {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    finally:
        server.stop()


@contextmanager
def as_user(environment: dict[str, str], patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a user of the server, whom nothing is remembered for, and who does not wait for one that is away."""
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.setattr(location, "RETRIES", 1)
    location.objects.cache_clear()
    yield
    location.objects.cache_clear()


def publish(environment: dict[str, str], prefix: str) -> None:
    """Let everybody read the objects whose names begin so."""
    client = _client(environment["AWS_ENDPOINT_URL"])
    for each in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]:
        client.put_object_acl(Bucket=BUCKET, Key=each["Key"], ACL="public-read")


def _client(url: str):
    return boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
