"""One function on its own, as Lambda runs it: a process that handles one event after the other.

    python -m tests.benchmarks.one_function handlers/s3_aggregator.py BUCKET 5000

The first event may open a window of the bucket, each that follows falls within it. Prints as JSON how long
one of these took, and what all of them asked of the network.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

Handler = Callable[[Any, Any], object]

# What Python tells its auditors of: a request over a connection that is open, and the way to a new one.
NETWORK = {"http.client.send", "socket.connect", "socket.getaddrinfo", "socket.sendmsg", "socket.sendto"}
REQUEST_ID = "7da07415-9e5b-11e8-ab6d-8f962149ce24"
CONTEXT = SimpleNamespace(aws_request_id=REQUEST_ID)  # Lambda's, as far as the functions ask


def main() -> None:
    _, path, bucket, count = sys.argv
    log_as_the_runtime_does()
    handler = imported(Path(path))
    happened = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    first, *others = [an_event(bucket, happened, number) for number in range(int(count) + 1)]
    handler(first, CONTEXT)
    asked = listen_to_the_network()
    took = [nanoseconds(handler, event) for event in others]
    sys.stdout.write(json.dumps({"median_us": median(took) / 1000, "network": len(asked)}))


def log_as_the_runtime_does() -> None:
    """Its lines are made, and go nowhere."""
    handler = logging.StreamHandler(Path(os.devnull).open("w"))  # noqa: SIM115  # open as long as the process
    formatter = logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
        "%Y-%m-%dT%H:%M:%S",
        defaults={"aws_request_id": REQUEST_ID},
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)


def imported(path: Path) -> Handler:
    sys.path.insert(0, str(path.parent))
    handler: Handler = importlib.import_module(path.stem).lambda_handler
    return handler


def an_event(bucket: str, happened: str, number: int) -> dict[str, Any]:
    """What S3 sends of one upload."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-3",
                "eventTime": happened,
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "s3-event-aggregator",
                    "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": {"key": f"folder/file-{number}.txt", "size": 19, "sequencer": f"{number:018X}"},
                },
            }
        ]
    }


def listen_to_the_network() -> list[str]:
    """What is asked of it from now on."""
    asked: list[str] = []
    sys.addaudithook(lambda name, _: asked.append(name) if name in NETWORK else None)
    return asked


def nanoseconds(handler: Handler, event: Any) -> int:
    began = time.perf_counter_ns()
    handler(event, CONTEXT)
    return time.perf_counter_ns() - began


if __name__ == "__main__":
    main()
