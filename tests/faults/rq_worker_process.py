"""An RQ worker that works until it is told to stop; run with -m. Arguments: the port, the user, the password."""

from __future__ import annotations

import sys

import redis
from rq import Queue, Worker
from rq.serializers import JSONSerializer


def main(port: str, user: str, password: str) -> None:
    """One queue per worker and JSON, as the product's workers run; the scheduler and maintenance are on."""
    connection = redis.Redis(port=int(port), username=user, password=password)
    queue = Queue("messages", connection=connection, serializer=JSONSerializer)
    Worker([queue], connection=connection, serializer=JSONSerializer, maintenance_interval=1).work(with_scheduler=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
