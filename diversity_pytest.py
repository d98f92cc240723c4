"""The pytest plugin: the fixture `diversity_gate`. Outside the package, so that pytest starts as fast as without it.

def test_stories(diversity_gate):
    diversity_gate("runs/post", domains="story")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from diversity.gate import Gate


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that name what is checked; each is also a setting, `diversity_policy` and so on.

    On the command line write `--diversity-post=PATH`: a PATH apart pytest takes for a test's, and looks for its ini
    file there.
    """
    group = parser.getgroup("diversity", "diversity gate")
    for name, text in (
        ("policy", "diversity.toml or pyproject.toml (default: the nearest)"),
        ("pre", "what is compared with (default: the policy's baseline)"),
        ("post", "the checkpoint or the samples that are checked"),
    ):
        group.addoption(f"--diversity-{name}", metavar="PATH", help=text)
        parser.addini(f"diversity_{name}", text)


class DiversityGate:
    """Checks samples or a checkpoint against a policy, and fails the test where it is broken or left open."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._gates: dict[tuple[Any, ...], Gate] = {}

    def __call__(
        self,
        post: str | None = None,
        *,
        pre: str | None = None,
        policy: Any = None,
        domains: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Gate:
        """Check, and return the gate where it passes.

        Parameters
        ----------
        post, pre : str, optional
            As in `diversity check`; by default those of the options --diversity-post and --diversity-pre, which may
            stand in the ini file.
        policy : path, mapping or Policy, optional
            By default that of --diversity-policy, else the nearest file.
        domains : str or list of str, optional
            The test is about these domains of the policy only. The comparison is made once for all tests.
        **options
            As in `diversity.inspection.inspect`.
        """
        __tracebackhide__ = True
        post = post or self._given("post")
        if not post:
            pytest.fail("no checkpoint to check: give diversity_gate one, or --diversity-post", pytrace=False)
        gate = self._gate(str(post), str(pre) if pre else self._given("pre"), policy or self._given("policy"), options)
        if domains is not None:
            gate = gate.of(domains)
        if not gate.passed:
            pytest.fail(str(gate), pytrace=False)
        if gate.warnings:
            import warnings

            warnings.warn(UserWarning("; ".join(map(str, gate.warnings))), stacklevel=2)
        return gate

    def _gate(self, post: str, pre: str | None, policy: Any, options: dict[str, Any]) -> Gate:
        key = (post, pre, str(policy), repr(sorted(options.items())))
        if key not in self._gates:
            from collections.abc import Mapping

            from diversity.inspection import inspect
            from diversity.policy import Policy

            if isinstance(policy, Mapping):
                policy = Policy.of(policy)
            elif not isinstance(policy, Policy):
                policy = Policy.read(policy)
            self._gates[key] = inspect(pre, post, policy, **options)
        return self._gates[key]

    def _given(self, name: str) -> str | None:
        value = self._config.getoption(f"--diversity-{name}") or self._config.getini(f"diversity_{name}")
        return str(value) if value else None


@pytest.fixture(scope="session")
def diversity_gate(request: pytest.FixtureRequest) -> DiversityGate:
    """Check a checkpoint's outputs against the diversity policy: `diversity_gate("runs/post", domains="story")`."""
    return DiversityGate(request.config)
