"""What AWS refuses: recognising it, and saying it in plain words, here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore import exceptions
from botocore.parsers import ResponseParserError

from s3agg.errors import S3aggError, UsageProblem


@dataclass(frozen=True)
class Refusal:
    """An error that passes by itself: its code, and how its message begins or a part of it (FACTS)."""

    code: str
    message: str = ""

    def matches(self, error: exceptions.ClientError) -> bool:
        return is_error(error, self.code) and self.message.lower() in said(error).lower()


def is_error(error: BaseException | None, *codes: str) -> bool:
    """Whether AWS refused with one of these error codes."""
    if not isinstance(error, exceptions.ClientError):
        return False
    return error.response.get("Error", {}).get("Code", "") in codes


def is_denied(error: S3aggError) -> bool:
    """Whether all that failed did so for want of a permission."""
    return all(is_error(part.__cause__, *DENIED) for part in error.parts)


def said(error: exceptions.ClientError) -> str:
    """What AWS said, in its own words."""
    return str(error.response.get("Error", {}).get("Message", "") or "no reason given")


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn whatever AWS or botocore refuses in here into one line about `what` was being done."""
    try:
        yield
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise explain(error, what) from error
    except ResponseParserError as error:
        raise S3aggError(
            f"While {what}: what answers there is not AWS", "Check the network, --region and --endpoint-url"
        ) from error


NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    exceptions.UnauthorizedSSOTokenError,
)
UNREACHABLE = (
    exceptions.EndpointConnectionError,
    exceptions.ConnectTimeoutError,
    exceptions.ReadTimeoutError,
    exceptions.ConnectionClosedError,
    exceptions.ProxyConnectionError,
    exceptions.SSLError,
)
LOG_IN = "Log in again (aws sso login), or name another --profile"
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
UNKNOWN_KEY = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
DENIED = {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}


def explain(error: exceptions.BotoCoreError | exceptions.ClientError, what: str) -> S3aggError:
    """Say in plain words what was being done, what AWS said and what to do next."""
    told = " ".join(str(error).split())
    problem = f"While {what}: {told}"
    if isinstance(error, exceptions.ProfileNotFound):
        return UsageProblem(told, "List the profiles there are: aws configure list-profiles")
    if isinstance(error, exceptions.InvalidRegionError):
        return UsageProblem(str(error), "Check --region")
    if isinstance(error, exceptions.NoRegionError):
        return UsageProblem("No region is set", "Name one: --region, AWS_REGION, or the profile's")
    if isinstance(error, NO_CREDENTIALS):
        return S3aggError(f"No AWS credentials: {told}", "Run aws configure, or name a --profile")
    if isinstance(error, UNREACHABLE):
        return S3aggError(problem, "Check the network, --region and --endpoint-url")
    if not isinstance(error, exceptions.ClientError):
        return S3aggError(problem)
    code = error.response.get("Error", {}).get("Code", "")
    words = " ".join(said(error).split()).rstrip(".")
    if code in EXPIRED:
        return S3aggError(f"The AWS credentials have expired: {words}", LOG_IN)
    if code in UNKNOWN_KEY:
        return S3aggError(f"AWS does not accept these credentials: {words}", LOG_IN)
    problem = f"While {what}: AWS said to {error.operation_name}: {words} ({code})"
    if code in DENIED:
        return S3aggError(problem, f"Ask for permission to call {error.operation_name}, and run this again")
    return S3aggError(problem)
