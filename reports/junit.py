"""A gate as JUnit XML: a suite a domain, a test case a rule. CI systems from Jenkins to GitLab read it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from diversity import __version__
from diversity.reports.gate import allowed, sentence, subject
from diversity.reports.plaintext import one_line

if TYPE_CHECKING:
    from diversity.gate import Finding, Gate


def render(gate: Gate, *, at: datetime | None = None) -> str:
    """Return the gate as JUnit XML.

    A broken rule is a failure, one left open that may not be an error, one left open that may be is skipped. Names
    that data brought are on one line and hold no character that XML forbids.

    Parameters
    ----------
    at : datetime, optional
        When the gate was judged; by default now.
    """
    stamp = (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    suites = ET.Element("testsuites")
    by_domain = sorted(gate.findings, key=lambda f: f.rule.domain)
    for number, (domain, group) in enumerate(groupby(by_domain, key=lambda f: f.rule.domain)):
        findings = list(group)
        name = one_line(domain)
        suite = ET.SubElement(
            suites,
            "testsuite",
            # The strictest of the schemas in use asks for all of these.
            name=f"diversity.{name}",
            package="diversity",
            id=str(number),
            timestamp=stamp,
            hostname="localhost",
            tests=str(len(findings)),
            failures=str(sum(f.outcome == "fail" for f in findings)),
            errors=str(sum(f.blocks and f.is_open for f in findings)),
            skipped=str(sum(f.is_open and not f.blocks for f in findings)),
            time="0",
        )
        properties = ET.SubElement(suite, "properties")
        for key, value in (("pre", gate.pre), ("post", gate.post), ("package", __version__)):
            ET.SubElement(properties, "property", name=key, value=one_line(value, 200) or "-")
        for finding in findings:
            _case(suite, f"diversity.{name}", finding)
        ET.SubElement(suite, "system-out").text = "\n".join(sentence(f) for f in findings)
        ET.SubElement(suite, "system-err")
    ET.indent(suites, " ")
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, classname: str, finding: Finding) -> None:
    rule = finding.rule
    case = ET.SubElement(
        suite, "testcase", classname=classname, name=f"{one_line(subject(rule))} {allowed(rule)}", time="0"
    )
    said = sentence(finding)
    if finding.outcome == "fail":
        ET.SubElement(case, "failure", type=rule.kind, message=said).text = finding.signature or said
    elif finding.blocks:
        ET.SubElement(case, "error", type=finding.outcome, message=said).text = finding.signature or said
    elif finding.is_open:
        # `message` is not in every schema, the text is.
        ET.SubElement(case, "skipped").text = said
