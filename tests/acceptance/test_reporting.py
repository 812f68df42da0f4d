"""The parts of the acceptance run that need no account: its report, its reading of -v, its question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto.core.botocore_stubber import MockRawResponse

from s3agg.aws.refusals import Refusal
from tests.acceptance import consent
from tests.acceptance.findings import Report
from tests.acceptance.refusals import PAUSE_S, Patience, calls_in, note_refusals, note_unseen
from tests.support.aws import REGION, Session, refusal

ACCOUNT = "123456789012"
LINES = [
    (0.5, "    61 ms  iam GetRole S3aggRole  5c0f-1  NoSuchEntity"),
    (1.0, "waiting for role S3aggRole to become usable by Lambda (1 s)"),
    (2.0, "   104 ms  lambda CreateFunction S3agg  5c0f-2  InvalidParameterValueException"),
    (3.0, "    99 ms  lambda CreateFunction S3agg  5c0f-3  InvalidParameterValueException"),
    (6.5, "   210 ms  lambda CreateFunction S3agg  5c0f-4"),
    (7.0, "    12 ms  sts GetCallerIdentity   5c0f-5"),
    (8.0, "  5012 ms  s3 HeadBucket photos    ConnectTimeoutError"),
]


def found(report: Report, fact: str) -> Any:
    (finding,) = [each for each in report.findings if each.fact == fact]
    return finding


def test_the_report_names_no_account_key_or_private_name(tmp_path: Path) -> None:
    report = Report(hidden={"my-photos": "BUCKET"})
    report.note("1", "a role", "held", f"arn:aws:iam::{ACCOUNT}:role/R of AKIAIOSFODNN7EXAMPLE in my-photos")

    report.write(tmp_path / "report.json")

    written = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert json.loads(written)["facts"][0]["evidence"] == "arn:aws:iam::ACCOUNT:role/R of AKIA... in BUCKET"
    assert found(report, "1").evidence.startswith("arn")
    assert ACCOUNT not in "\n".join(report.table())


def test_what_a_worker_sends_is_added() -> None:
    here, there = Report(), Report(where="AWS", region="eu-west-1", left=["role R"])
    there.note("8", "a queue", "held", "seen", 2.0)

    here.add(json.loads(json.dumps(there.parts())))

    assert here == there


def test_the_calls_of_verbose_output_are_read() -> None:
    calls = calls_in(LINES)

    assert [(each.operation, each.resource, each.error) for each in calls[:2]] == [
        ("GetRole", "S3aggRole", "NoSuchEntity"),
        ("CreateFunction", "S3agg", "InvalidParameterValueException"),
    ]
    assert [(each.operation, each.error) for each in calls[3:]] == [
        ("CreateFunction", ""),
        ("GetCallerIdentity", ""),
        ("HeadBucket", "ConnectTimeoutError"),
    ]


def test_the_same_finding_is_kept_once_with_the_most_seconds() -> None:
    report = Report()

    for seconds in (1.0, 3.0, 2.0, None):
        report.note("8", "a queue", "held", "seen", seconds)

    assert [each.seconds for each in report.findings] == [3.0]


def test_a_code_that_can_mean_several_facts_names_all_of_them() -> None:
    report = Report()
    line = "   104 ms  lambda CreateEventSourceMapping   5c0f-2  InvalidParameterValueException"

    note_refusals(report, "s3agg create", calls_in([(1.0, line)]))
    note_unseen(report)

    assert (
        found(report, "2, 24, 27").evidence
        == "CreateEventSourceMapping answered InvalidParameterValueException"
    )
    assert not {"2", "24", "27"} & {each.fact for each in report.findings}


def test_a_refusal_that_a_command_met_is_a_fact_with_its_duration() -> None:
    report = Report()

    note_refusals(report, "s3agg create", calls_in(LINES))
    note_unseen(report)

    assert (found(report, "1").verdict, found(report, "1").seconds) == ("held", 4.5)
    assert found(report, "8").verdict == "not seen"
    # An absent role is no fact of its own.
    assert found(report, "30").verdict == "not seen"


def test_a_patient_session_repeats_what_passes_by_itself() -> None:
    report, session = Report(), Session().with_credentials()
    answers = [
        (400, aborted("OperationAbortedException")),
        (200, {}),
        (400, aborted("InvalidParameterException")),
    ]

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = answers.pop(0)
        raw: Any = MockRawResponse(json.dumps(body).encode())
        return AWSResponse(request.url, status, HTTPHeaders(), raw)

    session.register("needs-retry", Patience(report, "a test"))
    session.register("before-send", answer)
    logs: Any = session.create_client("logs", region_name=REGION)
    logs.create_log_group(logGroupName="group")
    with pytest.raises(ClientError, match="InvalidParameterException"):
        logs.create_log_group(logGroupName="group")

    assert (
        found(report, "26").evidence
        == "CreateLogGroup: OperationAbortedException: try again (accepted later)"
    )
    assert found(report, "26").seconds >= PAUSE_S
    assert answers == []


def aborted(code: str) -> dict[str, str]:
    return {"__type": code, "message": "try again"}


def test_an_answer_of_aws_is_judged_by_the_expected_refusals() -> None:
    report = Report()

    def refuse() -> None:
        raise refusal("DeleteConflict", "in use")

    for fact, code in (("1", "DeleteConflict"), ("2", "Other")):
        assert report.refused(fact, "a look", refuse, Refusal(code))
    assert not report.refused("3", "a look", lambda: None, Refusal("Other"))

    assert [each.verdict for each in report.findings] == ["held", "not so", "not so"]


@pytest.mark.parametrize(
    ("answer", "variable", "starts"),
    [
        ("yes", None, True),
        ("y", None, False),
        ("", None, False),
        (None, None, False),
        (None, ACCOUNT, True),
        (None, "999999999999", False),
    ],
)
def test_a_run_starts_only_with_consent(answer: str | None, variable: str | None, starts: bool) -> None:
    environment = {consent.VARIABLE: variable} if variable else {}

    assert (consent.refusal(ACCOUNT, answer, environment) == "") == starts
