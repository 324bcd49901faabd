"""The sweeper of the account's stack: its code, as the template holds it, on moto.

AWS' own schedule and moto's Lambda are not tried: the function is called here. What its role
allows is read from the template's own policy, as moto keeps it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import yaml

from coldstart.cloud.aws import _stack as stack
from coldstart.cloud.aws._account import TEMPLATE
from engine.cloud.aws.conftest import ELSEWHERE, HERE, NAME, OTHERS, THERE, Aws, allowed
from engine.cloud.aws.test_account import ACCOUNT, MACHINE, STACK, bootstrap, outputs
from engine.cloud.aws.test_sweep import HOUR, alive, disks, launch, volume
from engine.support import main

Handler = Callable[[Any, Any], list[str]]
CALLS = {"TerminateInstances", "DeleteVolume"}


class Template(yaml.SafeLoader):
    """Reads CloudFormation's YAML; functions become their argument."""


Template.add_multi_constructor(
    "!",
    lambda loader, tag, node: (
        loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node)
    ),
)


def resources() -> dict[str, Any]:
    """The resources in the template."""
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Template)["Resources"]
    return found


@pytest.fixture
def sweep(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The function's handler."""
    properties = resources()["Sweeper"]["Properties"]
    monkeypatch.setenv("PROJECT", NAME)
    monkeypatch.setenv("REGIONS", "")
    scope: dict[str, Any] = {}
    exec(compile(properties["Code"]["ZipFile"], "index.py", "exec"), scope)
    module, name = properties["Handler"].split(".")
    assert module == "index"
    handler: Handler = scope[name]
    return handler


def test_it_ends_what_is_ours_and_overdue_in_all_regions_and_nothing_else(
    aws: Aws, sweep: Handler
) -> None:
    late = launch(aws), launch(aws, THERE)
    kept = {
        launch(aws, left=HOUR),
        launch(aws, left=-60),  # it may still be ending itself
        launch(aws, project=OTHERS),
        launch(aws, project=None),
        launch(aws, left=None),  # without a deadline it may exist for a day
    }
    held, old = launch(aws, disk_stays=True, left=HOUR), volume(aws)
    theirs, new = volume(aws, OTHERS), volume(aws, left=HOUR)
    before = disks(aws)
    ended = sweep({}, None)
    assert alive(aws) == {*kept, held}
    assert alive(aws, THERE) == set()
    assert {old} <= before - disks(aws)
    assert {theirs, new} <= disks(aws)
    assert [line.split()[0] for line in ended] == [HERE, HERE, THERE]
    assert all(one in " ".join(ended) for one in (*late, old))
    aws.calls.clear()
    assert sweep({}, None) == []
    regions = {region for region, action in aws.calls if action == "DescribeInstances"}
    assert regions == {HERE, THERE, ELSEWHERE}
    assert not CALLS & {action for _, action in aws.calls}


def test_without_a_deadline_something_may_exist_for_a_day(
    aws: Aws, sweep: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(aws, left=None)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * HOUR)
    sweep({}, None)
    assert alive(aws) == set()


def test_it_looks_at_the_regions_that_it_is_given(
    aws: Aws, sweep: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(aws)
    monkeypatch.setenv("REGIONS", f"{THERE} {ELSEWHERE}")
    assert sweep({}, None) == []
    assert len(alive(aws)) == 1


def test_a_region_that_fails_is_told_after_the_others(aws: Aws, sweep: Handler) -> None:
    launch(aws, THERE)
    aws.fail("DescribeInstances", (403, "UnauthorizedOperation", "not you"), region=HERE)
    with pytest.raises(RuntimeError, match="UnauthorizedOperation"):
        sweep({}, None)
    assert alive(aws, THERE) == set()


def test_its_role_allows_what_it_calls_and_no_more(aws: Aws, sweep: Handler) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    may = aws.statements(f"{STACK}-sweeper")
    launch(aws)
    volume(aws)
    aws.calls.clear()
    sweep({}, None)
    called = {f"ec2:{action}" for _, action in aws.calls}
    granted = {action for one in may for action in one["Action"] if action.startswith("ec2:")}
    assert called == granted
    ours, others = ({"aws:ResourceTag/train-project": name} for name in (NAME, OTHERS))
    for action in CALLS:
        assert allowed(may, f"ec2:{action}", MACHINE, ours)
        assert not allowed(may, f"ec2:{action}", MACHINE, others)
        assert not allowed(may, f"ec2:{action}", MACHINE, {})
    log = f"arn:aws:logs:{HERE}:{ACCOUNT}:log-group:/aws/lambda/other"
    assert not allowed(may, "logs:PutLogEvents", log, ours)


def test_it_is_started_by_a_timer_and_goes_with_the_stack(aws: Aws) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    events, functions = aws.client("events"), aws.client("lambda")
    (rule,) = events.list_rules()["Rules"]
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    (function,) = functions.list_functions()["Functions"]
    assert target["Arn"] == function["FunctionArn"]
    assert main(["cloud-destroy", "--yes"]) == 0
    assert events.list_rules()["Rules"] == functions.list_functions()["Functions"] == []


def test_at_the_budgets_limit_the_launchers_that_are_named_are_stopped(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    """Moto has no budgets: the action is read in the template, and its role and policy in moto."""
    who = ["--launchers", "user/ann role/ci user/bob"]
    assert bootstrap("--email", "me@here.org", "--dollars", "20", *who) == 0
    (found,) = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    given = {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}
    assert (given["Users"], given["Groups"], given["Roles"]) == ("ann,bob", "", "ci")
    iam = aws.client("iam")
    (frozen,) = [
        one for one in iam.list_policies(Scope="Local")["Policies"] if "frozen" in one["PolicyName"]
    ]
    version = iam.get_policy_version(PolicyArn=frozen["Arn"], VersionId="v1")["PolicyVersion"]
    (denied,) = version["Document"]["Statement"]
    assert denied["Effect"] == "Deny"
    assert "ec2:RunInstances" in denied["Action"]
    (attach,) = aws.statements(f"{STACK}-freezer")
    assert attach["Condition"] == {"ArnEquals": {"iam:PolicyARN": frozen["Arn"]}}
    assert all(action.startswith(("iam:Attach", "iam:Detach")) for action in attach["Action"])
    action = resources()["Freezer"]["Properties"]
    assert (action["ActionType"], action["ApprovalModel"]) == ("APPLY_IAM_POLICY", "AUTOMATIC")
    assert action["ActionThreshold"] == {"Type": "PERCENTAGE", "Value": 100}
    assert action["Definition"]["IamActionDefinition"]["PolicyArn"] == "Frozen"
    assert bootstrap() == 0  # who is named stays
    assert stack.Stack(STACK).find()["Parameters"] == found["Parameters"]  # type: ignore[index]
    assert bootstrap("--launchers", "ann") == 2
    assert "'ann' is none of user/NAME, group/NAME, role/NAME" in capsys.readouterr().err
    assert "Store" in outputs()


def test_without_named_launchers_there_is_no_role_that_attaches_policies(aws: Aws) -> None:
    assert bootstrap("--email", "me@here.org") == 0
    names = {one["RoleName"] for one in aws.client("iam").list_roles()["Roles"]}
    assert names == {STACK, f"{STACK}-sweeper"}
