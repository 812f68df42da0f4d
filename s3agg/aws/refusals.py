"""What AWS refuses: recognising it, and saying it in plain words, here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from botocore import exceptions
from botocore.parsers import ResponseParserError

from s3agg.errors import S3aggError, UsageProblem

P = ParamSpec("P")
T = TypeVar("T")

SSO_LOGIN = "aws sso login"
# How each service says that there is no such thing.
NOT_FOUND = (
    "404",  # S3, to HeadBucket
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "NoSuchEntity",  # IAM
    "QueueDoesNotExist",
    "ResourceNotFoundException",  # DynamoDB, Lambda, CloudWatch Logs
)


@dataclass(frozen=True)
class Refusal:
    """An error that passes by itself: its code, and how its message begins or a part of it (FACTS)."""

    code: str
    message: str = ""

    def matches(self, error: exceptions.ClientError) -> bool:
        return is_error(error, self.code) and self.message.lower() in aws_message(error).lower()


def is_error(error: BaseException | None, *codes: str) -> bool:
    """Whether AWS refused with one of these error codes."""
    if not isinstance(error, exceptions.ClientError):
        return False
    return error.response.get("Error", {}).get("Code", "") in codes


def is_not_found(error: BaseException | None) -> bool:
    """Whether AWS said that there is no such thing."""
    return is_error(error, *NOT_FOUND)


def unless_absent(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What the call returns; None if AWS says that there is no such thing, and only then."""
    try:
        return call(*args, **kwargs)
    except exceptions.ClientError as error:
        if is_not_found(error):
            return None
        raise


def is_denied(error: S3aggError) -> bool:
    """Whether all that failed did so for want of a permission."""
    return all(is_error(part.__cause__, *DENIED) for part in error.parts)


def aws_message(error: exceptions.ClientError) -> str:
    """What AWS said, in its own words."""
    return str(error.response.get("Error", {}).get("Message", "") or "no reason given")


@contextmanager
def describing_errors(what: str, log_in: str = SSO_LOGIN) -> Iterator[None]:
    """Turn whatever AWS or botocore refuses in here into one line about `what` was being done.

    `log_in` is the command that starts an SSO session for whoever does it.
    """
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise explain(error, what, log_in) from error
    except ResponseParserError as error:
        raise S3aggError(
            f"While {what}: what answers there is not AWS", "Check the network, --region and --endpoint-url"
        ) from error


NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
)
LOGGED_OUT = (exceptions.TokenRetrievalError, exceptions.SSOError)
UNREACHABLE = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ReadTimeoutError,
    exceptions.ConnectionClosedError,
    exceptions.ProxyConnectionError,
    exceptions.SSLError,
)
LOG_IN = "Log in again (aws sso login), set a new session's keys and token, or name another --profile"
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
UNKNOWN_KEY = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
# Asked for too much, or trouble of AWS's own: botocore has tried it again by then (FACTS 16).
TOO_MUCH = {
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
DENIED = {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}

AGAIN = "Run the same command again"
SPREADS = (
    f"{AGAIN}: a new role, and what it may do, can take AWS minutes to know of. If it stays, look whether a"
    " permissions boundary or a policy of your organization forbids it"
)
ELSEWHERE = "The bucket is in another region: check its name, and --region"
NEXT = (
    (Refusal("InvalidParameterValueException", "cannot be assumed by Lambda"), SPREADS),
    (Refusal("InvalidParameterValueException", "does not have permissions"), SPREADS),
    (Refusal("InvalidParameterValueException", "less than Function timeout"), f"{AGAIN} in a minute"),
    (Refusal("InvalidParameterValueException", "no longer supported"), "Name a newer --runtime"),
    (
        Refusal("InvalidArgument", "Unable to validate the following destination"),
        f"{AGAIN}: S3 can take minutes to know of a new permission",
    ),
    (Refusal("InvalidArgument", "overlap"), f"{AGAIN}: it names the other rule, if that is still there"),
    (Refusal("OperationAborted"), f"{AGAIN} when nobody else changes the bucket"),
    (Refusal("QueueDeletedRecently"), f"{AGAIN} in a minute"),
    (Refusal("AWS.SimpleQueueService.QueueDeletedRecently"), f"{AGAIN} in a minute"),
    (Refusal("ResourceInUseException", "already exists"), AGAIN),
    (Refusal("ResourceInUseException"), f"{AGAIN} when that has ended"),
    (Refusal("ResourceConflictException", "update is in progress"), f"{AGAIN} when that has ended"),
    (Refusal("ResourceConflictException", "concurrent update"), f"{AGAIN} when that has ended"),
    (Refusal("DeleteConflict"), f"Take it off what it is still attached to, and r{AGAIN[1:]}"),
    (Refusal("NoSuchBucket"), "Make the bucket again, or detach it: s3agg delete --bucket"),
    (Refusal("PermanentRedirect"), ELSEWHERE),
    (Refusal("AuthorizationHeaderMalformed"), ELSEWHERE),
)  # what the user can do about what did not pass by itself (FACTS)


def next_step(error: exceptions.ClientError) -> str:
    """What to do next about it, if that is known."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or is_error(error, *TOO_MUCH):
        return f"AWS is asked for too much, or has trouble: r{AGAIN[1:]} in a minute"
    return next((step for refusal, step in NEXT if refusal.matches(error)), "")


def explain(
    error: exceptions.BotoCoreError | exceptions.ClientError, what: str, log_in: str = SSO_LOGIN
) -> S3aggError:
    """Say in plain words what was being done, what AWS said and what to do next."""
    if isinstance(error, exceptions.ClientError):
        return _explain_refusal(error, what)
    told = " ".join(str(error).split())
    problem = f"While {what}: {told}"
    if isinstance(error, exceptions.ProfileNotFound):
        return UsageProblem(told, "List the profiles there are: aws configure list-profiles")
    if isinstance(error, exceptions.InvalidRegionError):
        return UsageProblem(str(error), "Check --region")
    if isinstance(error, exceptions.NoRegionError):
        return UsageProblem("No region is set", "Name one: --region, AWS_REGION, or the profile's")
    if isinstance(error, LOGGED_OUT):
        return S3aggError(f"You are not logged in: {told}", f"Log in: {log_in}")
    if isinstance(error, NO_CREDENTIALS):
        return S3aggError(f"No AWS credentials: {told}", "Run aws configure, or name a --profile")
    if isinstance(error, exceptions.InvalidConfigError):
        return S3aggError(told, "Mend that in the AWS configuration, or name another --profile")
    if isinstance(error, UNREACHABLE):
        return S3aggError(problem, "Check the network, --region and --endpoint-url")
    return S3aggError(problem)


def _explain_refusal(error: exceptions.ClientError, what: str) -> S3aggError:
    code = error.response.get("Error", {}).get("Code", "")
    words = " ".join(aws_message(error).split()).rstrip(".")
    if code in EXPIRED:
        return S3aggError(f"The AWS credentials have expired: {words}", LOG_IN)
    if code in UNKNOWN_KEY:
        return S3aggError(f"AWS does not accept these credentials: {words}", LOG_IN)
    problem = f"While {what}: AWS said to {error.operation_name}: {words} ({code})"
    if code in DENIED:
        return S3aggError(problem, f"Ask for permission to call {error.operation_name}, and run this again")
    return S3aggError(problem, next_step(error))
