"""Errors from AWS are recognised and translated into messages."""

from __future__ import annotations

import pytest
from botocore import exceptions

from s3agg.aws.refusals import Refusal, describing_errors, is_error
from s3agg.errors import S3aggError
from tests.support.aws import HOSTILE, refusal

# Messages

USER = "User: arn:aws:iam::123456789012:user/me is not authorized to perform: kms:Decrypt on resource: arn:x"


@pytest.mark.parametrize(
    ("error", "words", "hint", "exit_code"),
    [
        (exceptions.NoCredentialsError(), "No AWS credentials", "aws configure", 1),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
            "No AWS credentials",
            "aws configure",
            1,
        ),
        (
            exceptions.CredentialRetrievalError(provider="process", error_msg=HOSTILE),
            "No AWS credentials",
            "aws configure",
            1,
        ),
        (
            exceptions.SSOTokenLoadError(error_msg="Token for corp does not exist"),
            "You are not logged in: Error loading SSO Token: Token for corp",
            "To log in, run: aws sso login",
            1,
        ),
        (exceptions.UnauthorizedSSOTokenError(), "You are not logged in", "aws sso login", 1),
        (
            exceptions.TokenRetrievalError(provider="sso", error_msg=HOSTILE),
            "You are not logged in",
            "aws sso login",
            1,
        ),
        (
            exceptions.InvalidConfigError(error_msg=HOSTILE),
            "a message of several lines",
            "Correct the AWS configuration",
            1,
        ),
        (exceptions.NoRegionError(), "No region is set", "--region", 2),
        (exceptions.ProfileNotFound(profile="nope"), "(nope)", "aws configure list-profiles", 2),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://sts"),
            'While looking: Could not connect to the endpoint URL: "https://sts"',
            "--endpoint-url",
            1,
        ),
        (exceptions.ReadTimeoutError(endpoint_url="https://sts"), "While looking", "network", 1),
        (refusal("ExpiredToken"), "The AWS credentials have expired: a message of several lines", "sso", 1),
        (refusal("RequestExpired"), "have expired", "set new session credentials", 1),
        (refusal("InvalidClientTokenId"), "AWS does not accept these credentials", "--profile", 1),
        (refusal("SignatureDoesNotMatch"), "AWS does not accept these credentials", "--profile", 1),
        (
            refusal("AccessDeniedException"),
            "While looking: CreateTable failed: a message of several lines (AccessDeniedException)",
            "Ask for permission to call CreateTable",
            1,
        ),
        (refusal("AccessDenied"), "(AccessDenied)", "permission to call CreateTable", 1),
        (refusal("403"), "(403)", "permission to call CreateTable", 1),
        (
            refusal("AccessDenied", f"{USER} because no identity-based policy allows the kms:Decrypt action"),
            "(AccessDenied)",
            "Ask for permission to call Decrypt, then run the same command again",
            1,
        ),
        *(
            (
                refusal("AccessDenied", f"{USER} with an explicit deny{where}"),
                "(AccessDenied)",
                f"An explicit deny overrides every permission. Ask for a change of the {policy}, then",
                1,
            )
            for where, policy in (
                (" in an identity-based policy", "identity-based policy"),
                (" in a resource-based policy", "resource-based policy"),
                (
                    " in a service control policy: arn:aws:organizations::1:policy/o-1",
                    "service control policy",
                ),
                (" in a resource control policy", "resource control policy"),
                (" in a permissions boundary", "permissions boundary"),
                (" in a session policy", "session policy"),
                (" in a VPC endpoint policy", "VPC endpoint policy"),
                ("", "policy"),
            )
        ),
        (refusal("LimitExceededException"), "(LimitExceededException)", "", 1),
        (
            refusal("ResourceConflictException", "An update is in progress"),
            "(Res",
            "when the update has ended",
            1,
        ),
        (refusal("ResourceConflictException", "Please update the existing one"), "(Res", "", 1),
        (refusal("DeleteConflict"), "(DeleteConflict)", "Detach the policy from other users", 1),
        (
            refusal("SlowDown"),
            "(SlowDown)",
            "AWS is throttling requests or has an outage. Run the same command again in a minute",
            1,
        ),
        (refusal("InvalidArgument", "No such thing"), "(InvalidArgument)", "", 1),
        (refusal("Silent", ""), "While looking: CreateTable failed: no reason given (Silent)", "", 1),
        (exceptions.ParamValidationError(report=HOSTILE), "While looking", "", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_is_one_line_with_a_hint_and_an_exit_code(
    error: Exception, words: str, hint: str, exit_code: int
) -> None:
    with pytest.raises(S3aggError) as caught, describing_errors("looking"):
        raise error

    assert words in caught.value.problem
    assert hint in caught.value.hint
    assert caught.value.exit_code == exit_code
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_an_error_that_is_not_awss_passes_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), describing_errors("looking"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("expected", "matches"),
    [
        (Refusal("Busy"), True),
        (Refusal("Busy", "SEVERAL"), True),
        (Refusal("Busy", "none of it"), False),
        (Refusal("Bus"), False),
    ],
)
def test_a_refusal_is_known_by_its_code_and_a_part_of_its_message(expected: Refusal, matches: bool) -> None:
    assert expected.matches(refusal("Busy")) is matches


def test_only_a_refusal_has_a_code() -> None:
    assert not is_error(ValueError("Busy"), "Busy")


def test_the_command_that_detaches_a_bucket_that_is_gone_is_for_the_same_stack() -> None:
    with pytest.raises(S3aggError) as told, describing_errors("looking"):
        raise refusal("NoSuchBucket")

    text = told.value.text({"stack": "Photos", "profile": "p"})
    assert text.endswith(", or run: s3agg delete --bucket BUCKET --stack Photos --profile p.")
