"""Errors from AWS: recognise them, and translate them into messages. No other file does this."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from botocore import exceptions

from s3agg.aws.answers import NotFromAwsError
from s3agg.errors import Advice, S3aggError, UsageProblem

P = ParamSpec("P")
T = TypeVar("T")

SSO_LOGIN = "aws sso login"
CHECK_WHAT_ANSWERS = "Check the proxy, the VPN, the login page of the network, and --endpoint-url"
CHECK_NETWORK = "Check the network, --region and --endpoint-url"
# The error codes for a resource that does not exist.
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
    """An error from AWS: its code, and a part of its message (FACTS)."""

    code: str
    message: str = ""
    unless: str = ""  # a part of the message of an error that does not pass

    def matches(self, error: exceptions.ClientError) -> bool:
        text = aws_message(error).lower()
        return (
            is_error(error, self.code)
            and self.message.lower() in text
            and not (self.unless and self.unless.lower() in text)
        )


def is_error(error: BaseException | None, *codes: str) -> bool:
    """Whether AWS returned one of these error codes."""
    if not isinstance(error, exceptions.ClientError):
        return False
    return error.response.get("Error", {}).get("Code", "") in codes


def is_not_found(error: BaseException | None) -> bool:
    """Whether the resource does not exist, by AWS's error code."""
    return is_error(error, *NOT_FOUND)


def unless_error(codes: Collection[str], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The result of the call; None if AWS returned one of these error codes. Raises any other error."""
    try:
        return call(*args, **kwargs)
    except exceptions.ClientError as error:
        if is_error(error, *codes):
            return None
        raise


def unless_absent(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The result of the call; None if the resource does not exist. Raises any other error."""
    return unless_error(NOT_FOUND, call, *args, **kwargs)


def until_absent(pages: Iterable[T]) -> Iterator[T]:
    """The pages of a list; no more if the resource does not exist. Raises any other error."""
    try:
        yield from pages
    except exceptions.ClientError as error:
        if not is_not_found(error):
            raise


def is_denied(error: S3aggError) -> bool:
    """Whether each part of the error is a missing permission."""
    return all(is_error(part.__cause__, *DENIED) for part in error.parts)


def denied_action(error: BaseException | None) -> str:
    """The action that AWS's message names, without its service; "" if it names none."""
    named = ACTION.search(aws_message(error)) if isinstance(error, exceptions.ClientError) else None
    return named[1] if named else ""


def denying_policy(error: BaseException | None) -> str | None:
    """The kind of policy that denies the call explicitly; None if AWS names no explicit deny."""
    if not is_error(error, *DENIED) or not isinstance(error, exceptions.ClientError):
        return None
    found = EXPLICIT_DENY.search(aws_message(error))
    return (found[1] or "policy") if found else None


def is_unknown(error: S3aggError) -> bool:
    """Whether an emulator, or another endpoint, does not have the service of the call."""
    causes = [part.__cause__ for part in error.parts]
    return all(
        is_error(cause, *UNKNOWN)
        or (isinstance(cause, exceptions.ClientError) and _status(cause) == HTTPStatus.NOT_IMPLEMENTED)
        for cause in causes
    )


def is_refused_or_unreachable(error: S3aggError) -> bool:
    """Whether AWS refused each call, or did not answer: then a command can go on without an optional answer.

    An answer that is not AWS's, or a session without credentials, concerns every call.
    """
    return all(isinstance(part.__cause__, (exceptions.ClientError, *UNREACHABLE)) for part in error.parts)


def aws_message(error: exceptions.ClientError) -> str:
    """The message of AWS's error."""
    return str(error.response.get("Error", {}).get("Message", "") or "no reason given")


@contextmanager
def describing_errors(action: str, login_command: str = SSO_LOGIN) -> Iterator[None]:
    """Turn an error from AWS or botocore into an S3aggError that begins with "While `action`".

    `login_command` is the command that starts the user's SSO session.
    """
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise explain(error, action, login_command) from error


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
LOG_IN = "Log in again (aws sso login), set new session credentials, or pass another --profile"
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
UNKNOWN_KEY = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
# Throttling: botocore has already retried the call (FACTS 16).
THROTTLED = {
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

# AWS's words in a denial (FACTS, Denials): the action, and the policy that denies it explicitly.
ACTION = re.compile(r"not authorized to perform: [\w-]+:(\w+)")
EXPLICIT_DENY = re.compile(r"with an explicit deny(?: in an? ([\w -]*(?:policy|boundary)))?")

UNKNOWN = {"UnknownOperationException", "UnknownService"}

AGAIN = "Run the same command again"
PERMISSIONS_SPREAD = (
    f"{AGAIN}: a new role and its permissions can take minutes to reach Lambda. If the error persists,"
    " check whether a permissions boundary or a service control policy denies the call"
)
OTHER_REGION = "The bucket is in another region. Check its name and --region"
NEXT_STEPS: Sequence[tuple[Refusal, str | tuple[str, Advice]]] = (
    (Refusal("InvalidParameterValueException", "cannot be assumed by Lambda"), PERMISSIONS_SPREAD),
    (Refusal("InvalidParameterValueException", "does not have permissions"), PERMISSIONS_SPREAD),
    (Refusal("InvalidParameterValueException", "less than Function timeout"), f"{AGAIN} in a minute"),
    (Refusal("InvalidParameterValueException", "no longer supported"), "Pass a newer --runtime"),
    (
        Refusal("InvalidArgument", "Unable to validate the following destination"),
        f"{AGAIN}: a new permission can take minutes to reach S3",
    ),
    (
        Refusal("InvalidArgument", "overlap"),
        f"{AGAIN} to see which notification overlaps",
    ),
    (Refusal("OperationAborted"), f"{AGAIN} when no other change of the bucket is in progress"),
    (Refusal("QueueDeletedRecently"), f"{AGAIN} in a minute"),
    (Refusal("AWS.SimpleQueueService.QueueDeletedRecently"), f"{AGAIN} in a minute"),
    (Refusal("ResourceInUseException", "already exists"), AGAIN),
    (Refusal("ResourceInUseException"), f"{AGAIN} when the other change has ended"),
    (Refusal("ResourceConflictException", "update is in progress"), f"{AGAIN} when the update has ended"),
    (Refusal("ResourceConflictException", "concurrent update"), f"{AGAIN} when the update has ended"),
    (Refusal("DeleteConflict"), f"Detach the policy from other users, groups and roles, then r{AGAIN[1:]}"),
    (Refusal("NoSuchBucket"), ("Create the bucket again, or run", Advice("delete", "BUCKET"))),
    (Refusal("PermanentRedirect"), OTHER_REGION),
    (Refusal("AuthorizationHeaderMalformed"), OTHER_REGION),
)  # the next step after an error that outlasted the retries (FACTS)


def _status(error: exceptions.ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def next_step(error: exceptions.ClientError) -> tuple[str, Advice | None]:
    """The next step for the user: its words, or "", and the command to run."""
    if _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR or is_error(error, *THROTTLED):
        return f"AWS is throttling requests or has an outage. {AGAIN} in a minute", None
    step = next((step for refusal, step in NEXT_STEPS if refusal.matches(error)), "")
    return (step, None) if isinstance(step, str) else step


def explain(
    error: exceptions.BotoCoreError | exceptions.ClientError, action: str, login_command: str = SSO_LOGIN
) -> S3aggError:
    """Translate an error: what failed, AWS's reason and the next step."""
    if isinstance(error, exceptions.ClientError):
        return _explain_refusal(error, action)
    message = " ".join(str(error).split())
    if isinstance(error, NotFromAwsError):
        return S3aggError(message, CHECK_WHAT_ANSWERS)
    problem = f"While {action}: {message}"
    if isinstance(error, exceptions.ProfileNotFound):
        return UsageProblem(message, "To list the profiles, run: aws configure list-profiles")
    if isinstance(error, exceptions.InvalidRegionError):
        return UsageProblem(str(error), "Check --region")
    if isinstance(error, exceptions.NoRegionError):
        return UsageProblem("No region is set", "Pass --region, or set AWS_REGION or the profile's region")
    if isinstance(error, LOGGED_OUT):
        return S3aggError(f"You are not logged in: {message}", f"To log in, run: {login_command}")
    if isinstance(error, NO_CREDENTIALS):
        return S3aggError(f"No AWS credentials: {message}", "Run aws configure, or pass --profile")
    if isinstance(error, exceptions.InvalidConfigError):
        return S3aggError(message, "Correct the AWS configuration, or pass another --profile")
    if isinstance(error, UNREACHABLE):
        return S3aggError(problem, CHECK_NETWORK)
    return S3aggError(problem)


def _explain_refusal(error: exceptions.ClientError, action: str) -> S3aggError:
    code = error.response.get("Error", {}).get("Code", "")
    words = " ".join(aws_message(error).split()).rstrip(".")
    if code in EXPIRED:
        return S3aggError(f"The AWS credentials have expired: {words}", LOG_IN)
    if code in UNKNOWN_KEY:
        return S3aggError(f"AWS does not accept these credentials: {words}", LOG_IN)
    problem = f"While {action}: {error.operation_name} failed: {words} ({code})"
    if policy := denying_policy(error):
        change = f"Ask for a change of the {policy}, then r{AGAIN[1:]}"
        return S3aggError(problem, f"An explicit deny overrides every permission. {change}")
    if code in DENIED:
        # It can be another action than the call, such as the use of a KMS key.
        action = denied_action(error) or error.operation_name
        return S3aggError(problem, f"Ask for permission to call {action}, then r{AGAIN[1:]}")
    return S3aggError(problem, *next_step(error))
