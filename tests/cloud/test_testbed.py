"""The testbed itself."""

from __future__ import annotations

import subprocess

import pytest

from .rented import Cloud

pytestmark = pytest.mark.slow


def test_the_provider_may_be_away_and_is_there_again(cloud: Cloud) -> None:
    ask = ["bin/python", "-c", "import boto3; print(boto3.client('sts').get_caller_identity())"]

    def asked() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [cloud.sky_folder / ask[0], *ask[1:]],
            env=cloud.environment,
            capture_output=True,
            text=True,
        )

    with cloud.away():
        assert "Could not connect" in asked().stderr
    assert "123456789012" in asked().stdout
