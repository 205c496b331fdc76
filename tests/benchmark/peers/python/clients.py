"""The AWS clients of the peers: one of each in a process, with connections that stay open."""

import functools

import boto3
from botocore.config import Config

CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    tcp_keepalive=True,
    max_pool_connections=4,
    retries={"mode": "standard", "max_attempts": 3},
)


@functools.cache
def client(service: str):
    """The client of a service. `AWS_ENDPOINT_URL` and `AWS_CA_BUNDLE` are read by boto3 itself."""
    return boto3.client(service, config=CONFIG)
