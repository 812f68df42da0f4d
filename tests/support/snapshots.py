"""All that moto's account holds, to be put back as often as a test wants it so."""

from __future__ import annotations

import copy
import copyreg
import threading
from dataclasses import dataclass
from typing import Any

from moto.awslambda_simple.models import lambda_simple_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.dynamodb.models import dynamodb_backends
from moto.events.models import events_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from tests.support.aws import ACCOUNT, REGION

# A queue of moto's has locks, whose copies are new ones.
copyreg.pickle(type(threading.RLock()), lambda _: (threading.RLock, ()))
copyreg.pickle(threading.Condition, lambda _: (threading.Condition, ()))


@dataclass(frozen=True)
class Snapshot:
    """What moto's backends held, those of the services that a stack has something of."""

    backends: list[Any]
    contents: list[Any]

    @classmethod
    def take(cls) -> Snapshot:
        backends = _backends()
        # All in one go, as they refer to each other's contents; what refers to a backend keeps to that one.
        contents = copy.deepcopy(
            [vars(backend) for backend in backends], {id(backend): backend for backend in backends}
        )
        return cls(backends, contents)

    def put_back(self) -> None:
        """moto has other backends since it was emptied: what refers to one is to refer to its successor."""
        backends = _backends()
        successors = {id(old): new for old, new in zip(self.backends, backends, strict=True)}
        for backend, contents in zip(backends, copy.deepcopy(self.contents, successors), strict=True):
            vars(backend).clear()
            vars(backend).update(contents)
        # A copy of a weak dictionary has the old functions, and loses them when they go.
        functions = lambda_simple_backends[ACCOUNT][REGION]._lambdas  # noqa: SLF001  # moto finds them there
        for group in functions._functions.values():  # noqa: SLF001
            functions._arns[group["latest"].function_arn] = group["latest"]  # noqa: SLF001
        # Whose a bucket's name is, moto keeps elsewhere.
        owner = s3_backends[ACCOUNT]["aws"]
        s3_backends.bucket_accounts.clear()
        s3_backends.bucket_accounts.update(dict.fromkeys(owner.buckets, (owner.partition, ACCOUNT)))


def _backends() -> list[Any]:
    regional = (
        cloudwatch_backends,
        dynamodb_backends,
        events_backends,
        lambda_simple_backends,
        logs_backends,
        sqs_backends,
    )
    everywhere = (iam_backends, s3_backends)
    return [
        *(backends[ACCOUNT][REGION] for backends in regional),
        *(backends[ACCOUNT]["aws"] for backends in everywhere),
    ]
