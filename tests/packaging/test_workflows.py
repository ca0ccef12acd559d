"""The workflows of GitHub: they publish by identity, may do no more than they need, and test what we say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def workflow(name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text("utf-8")))


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_there_is_no_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "password" not in text


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_each_job_says_what_it_may_and_how_long(path: Path) -> None:
    content = workflow(path.name)
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        if name != "publish":
            assert job["permissions"] == {"contents": "read"}, name
        for step in steps(job):
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_actions_are_pinned(path: Path) -> None:
    used = [
        step["uses"] for job in workflow(path.name)["jobs"].values() for step in steps(job) if "uses" in step
    ]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+|[0-9a-f]{40})", action), action


def test_publishing_alone_shows_an_identity_and_follows_all_tests() -> None:
    jobs = workflow("release.yml")["jobs"]
    publish = jobs["publish"]
    assert publish["permissions"] == {"id-token": "write", "attestations": "write"}
    assert set(publish["needs"]) == set(jobs) - {"publish"}
    assert "ref_type == 'tag'" in publish["if"]
    actions = [step["uses"].partition("@")[0] for step in steps(publish)]
    assert actions[-2:] == ["actions/attest-build-provenance", "pypa/gh-action-pypi-publish"]
    # What publishes runs nothing of this project.
    assert all("run" not in step for step in steps(publish))


def test_wheels_are_built_for_each_platform() -> None:
    wheels = workflow("release.yml")["jobs"]["wheels"]
    names = {row["name"] for row in wheels["strategy"]["matrix"]["include"]}
    assert names == {
        "manylinux-x86_64",
        "manylinux-aarch64",
        "musllinux-x86_64",
        "musllinux-aarch64",
        "macos-universal2",
        "windows-x86_64",
    }
    wanted = PYPROJECT["tool"]["cibuildwheel"]
    assert wanted["linux"]["manylinux-x86_64-image"] == "manylinux_2_28"
    assert wanted["linux"]["manylinux-aarch64-image"] == "manylinux_2_28"
    assert wanted["macos"]["archs"] == ["universal2"]
    assert wanted["build"].split() == ["cp311-*", "cp312-*", "cp313-*", "cp314-*", "cp314t-*"]


def test_each_python_that_the_package_names_is_tested() -> None:
    prefix = "Programming Language :: Python :: 3."
    named = {
        line.removeprefix(prefix) for line in PYPROJECT["project"]["classifiers"] if line.startswith(prefix)
    }
    assert named == {"11", "12", "13"}
    for minor in named:
        assert f"cp3{minor}-*" in PYPROJECT["tool"]["cibuildwheel"]["build"]
    jobs = workflow("ci.yml")["jobs"]
    setup = next(step for step in steps(jobs["test"]) if "setup-python" in str(step.get("uses")))
    assert set(setup["with"]["python-version"].split()) == {f"3.{minor}" for minor in named}
    assert any(step.get("run") == ".ci/run" for step in steps(jobs["test"]))
    runners = " ".join(jobs["smoke"]["strategy"]["matrix"]["runner"])
    assert "macos" in runners
    assert "windows" in runners
    assert "musllinux" in str(jobs["musl"])
