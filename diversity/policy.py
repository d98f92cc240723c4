"""What a gate allows: rules from `diversity.toml`, or from `[tool.diversity]` in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from diversity.errors import InputError, UnknownName
from diversity.probes import PROBES
from diversity.registry import domain_of, find_metric
from diversity.registry import metrics as known_metrics
from diversity.scoring import ALL, CONDITIONS
from diversity.stats import PROVISIONAL

FILE, PYPROJECT = "diversity.toml", "pyproject.toml"
FACETS = ("lexical", "syntactic", "semantic", "functional")
INCONCLUSIVE = ("fail", "pass", "warn", "sample-more")
PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of limit.

    Attributes
    ----------
    of : tuple of str
        What it can limit: facet, guard, metric, probe.
    reads : str
        "ratio" (of the effective numbers, post over pre), "change" (post minus pre) or "level" (post alone).
    side : 1 or -1
        Whether the limit lies above or below.
    says : str
        The limit in words.
    """

    of: tuple[str, ...]
    reads: Literal["ratio", "change", "level"]
    side: int
    says: str


# Whatever a policy can limit. A new kind of rule is a line here.
KINDS = {
    "max_narrowing": Kind(("facet",), "ratio", -1, "may narrow by at most {}"),
    "max_widening": Kind(("facet",), "ratio", 1, "may widen by at most {}"),
    "min": Kind(("guard", "probe"), "level", -1, "must be at least {}"),
    "max": Kind(("guard", "probe"), "level", 1, "must be at most {}"),
    "max_fall": Kind(("guard", "metric", "probe"), "change", -1, "may fall by at most {}"),
    "max_rise": Kind(("guard", "metric", "probe"), "change", 1, "may rise by at most {}"),
}
UNITS = ("within prompt", "within output")  # of which each prompt has a value
OPTIONS = ("strict", "inconclusive", "min_prompts")
SECTIONS = {"guards": "guard", "metrics": "metric", "probes": "probe"}
TOP = (*OPTIONS, "baseline", "budget", "sampling", "domains")
SAMPLING = ("n", "prompts", "temperature", "top_p", "max_tokens", "seed")
COUNTS = {"n", "prompts", "max_tokens", "seed"}
BY_DOMAIN = {"prompts", "max_tokens"}  # one number, or a table of one a domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit of a policy.

    Attributes
    ----------
    domain : str
    of : str
        "facet", "guard", "metric" or "probe".
    name : str
        The facet, or the name of the metric or of the probe's figure.
    kind : str
        A key of `KINDS`.
    limit : float
        For a facet a share of the effective number; else in the metric's own unit, or `of_pre` a share of its value
        before tuning.
    condition : str
        Which answers are measured: all, valid, length-matched.
    inconclusive : str
        What an undecided rule does to the gate: fail, pass, warn or sample-more.
    strict : bool
        The rule holds only when the interval excludes the limit.
    min_prompts : int
        Prompts below which the rule is undecided whatever they show.
    line : int or None
        Where the policy file says it.
    """

    domain: str
    of: str
    name: str
    kind: str
    limit: float
    of_pre: bool = False
    condition: str = ALL
    inconclusive: str = "fail"
    strict: bool = False
    min_prompts: int = PROVISIONAL
    line: int | None = None

    @property
    def metric(self) -> str:
        """The rule's metric as the Shift table names it."""
        return f"{self.name}.effective" if self.of == "facet" else self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """What is scored for it, as the Scores table names it."""
        if self.of == "probe":
            return PROBES[self.name].needs
        return (f"{self.name}.similarity" if self.of == "facet" else self.name,)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the most that its figure can be; a facet's is a ratio."""
        if self.of == "facet":
            return 0, float("inf")
        return PROBES[self.name].range if self.of == "probe" else find_metric(self.name).range

    @property
    def is_share(self) -> bool:
        """Whether its figure is a share, and written in per cent."""
        return PROBES[self.name].is_share if self.of == "probe" else self.of == "guard" and self.range == (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of a gate, and what they are checked against.

    Attributes
    ----------
    rules : tuple of Rule
    file : Path or None
        Where it was read.
    baseline : str or None
        What is compared with: a checkpoint, samples, or a stored baseline. A path is relative to the policy's file.
    budget : int
        Outputs of one checkpoint that may be drawn beyond the first ones, while a rule says sample-more.
    sampling : mapping
        How a checkpoint is sampled here; keys as in `diversity.sample`.
    """

    rules: tuple[Rule, ...]
    file: Path | None = None
    baseline: str | None = None
    budget: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)

    @property
    def domains(self) -> list[str]:
        """Names of the domains that have a rule."""
        return list(dict.fromkeys(rule.domain for rule in self.rules))

    @property
    def metrics(self) -> list[str]:
        """Names of what must be scored for the rules, and the guards."""
        wanted = [name for rule in self.rules if rule.of != "guard" for name in rule.needs]
        if not any(rule.of == "facet" for rule in self.rules):
            # A comparison needs a headline.
            wanted += [f"{domain_of(name).primary}.similarity" for name in self.domains]
        return [*dict.fromkeys(wanted), "guard"]

    @property
    def tuned(self) -> tuple[str, ...]:
        """The domains from which a rule about a cliff measures the distance."""
        return tuple(dict.fromkeys(rule.domain for rule in self.rules if rule.name.startswith("cliff_")))

    def for_domain(self, key: str, domain: str) -> Any:
        """Return a setting of `sampling` for one domain, None where it is left open."""
        value = self.sampling.get(key)
        return value.get(domain) if isinstance(value, Mapping) else value

    @classmethod
    def read(cls, path: str | Path | None = None) -> Policy:
        """Read a policy.

        Parameters
        ----------
        path : str or Path, optional
            A TOML file; of one named pyproject.toml the table [tool.diversity]. By default the nearest of the two at
            or above the current folder.

        Raises
        ------
        InputError
            There is no policy, it is not TOML, or a key or value in it is wrong; the line is named.
        """
        file = Path(path) if path is not None else _nearest()
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise InputError(
                f"{file}: cannot be read ({reason}): `diversity check --init PRE POST` writes a policy"
            ) from None
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            place = re.search(r"\(at line (\d+), column \d+\)", str(error))
            where = f"{file}, line {place[1]}" if place else f"{file}"
            what = str(error).partition(" (at ")[0]
            raise InputError(f"{where}: not TOML ({what[:120]}): mend the line") from None
        prefix: tuple[str, ...] = ()
        if file.name == PYPROJECT:
            prefix = ("tool", "diversity")
            content = content.get("tool", {}).get("diversity")
            if content is None:
                raise InputError(f"{file}: has no table [tool.diversity]: add one, or name another file by --policy")
        return _Reader(str(file), _lines(text), prefix).policy(content, file)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Policy:
        """Make a policy of what a file would hold; raises `InputError`.

        Examples
        --------
        >>> policy = Policy.of({"domains": {"story": {"semantic": {"max_narrowing": 0.2}}}})
        >>> policy.rules[0].metric, policy.rules[0].limit
        ('semantic.effective', 0.2)
        """
        return _Reader("policy", {}, ()).policy(content, None)


def _nearest() -> Path:
    """Find diversity.toml, or a pyproject.toml with our table, at or above the current folder."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder / FILE
        project = folder / PYPROJECT
        # Read as text: a pyproject.toml that is broken elsewhere is another tool's to complain of.
        if project.is_file() and "[tool.diversity" in project.read_text(encoding="utf-8", errors="replace"):
            return project
    raise InputError(
        f"no policy: there is no {FILE} here or above, and no [tool.diversity] in a {PYPROJECT}: name one by --policy, "
        "or write one by `diversity check --init PRE POST`"
    )


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Map each key of a TOML text that can be parsed to the line where its statement begins; tomllib forgets it."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        statement, start = (f"{statement}\n{line}", start) if statement else (line, number)
        try:
            parsed = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if statement.lstrip().startswith("["):
            table = ()
            inner: Any = parsed
            while inner and isinstance(inner, dict):
                ((key, inner),) = inner.items()
                table = (*table, key)
                found.setdefault(table, start)
        else:
            for path in _paths(parsed):
                found.setdefault((*table, *path), start)
        statement = ""
    return found


def _paths(content: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for key, value in content.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *rest) for rest in _paths(value))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks the content of a policy, and names the place of what is wrong."""

    where: str
    lines: Mapping[tuple[str, ...], int]
    prefix: tuple[str, ...]

    def line(self, path: tuple[str, ...]) -> int | None:
        """Line of a key, or of the nearest table around it."""
        whole = (*self.prefix, *path)
        return next((self.lines[whole[:k]] for k in range(len(whole), 0, -1) if whole[:k] in self.lines), None)

    def wrong(self, path: tuple[str, ...], what: str) -> InputError:
        line = self.line(path)
        return InputError(f"{self.where}{f', line {line}' if line else ''}: {what}")

    def policy(self, content: Any, file: Path | None) -> Policy:
        """Return the policy that a table holds."""
        table = self.table(content, ())
        self.known(table, (), TOP)
        options = self.options(table, (), {"strict": False, "inconclusive": "fail", "min_prompts": PROVISIONAL})
        domains = self.table(table.get("domains", {}), ("domains",))
        rules = [rule for name in domains for rule in self.domain(name, domains[name], options)]
        if not rules:
            raise self.wrong(("domains",), "holds no rule: add [domains.story.semantic] with max_narrowing = 0.2")
        baseline = table.get("baseline")
        if baseline is not None and not (isinstance(baseline, str) and baseline.strip()):
            raise self.wrong(("baseline",), "baseline is not a text: give a path or a checkpoint")
        budget = table.get("budget", 0)
        self.count(budget, ("budget",), 0)
        return Policy(
            rules=tuple(rules), file=file, baseline=baseline, budget=budget, sampling=self.sampling(table, domains)
        )

    def sampling(self, table: Mapping[str, Any], domains: Mapping[str, Any]) -> dict[str, Any]:
        path = ("sampling",)
        settings = self.table(table.get("sampling", {}), path)
        self.known(settings, path, SAMPLING)
        for key, value in settings.items():
            each: dict[tuple[str, ...], Any] = {(*path, key): value}
            if key in BY_DOMAIN and isinstance(value, dict):
                self.known(value, (*path, key), domains)
                each = {(*path, key, name): own for name, own in value.items()}
            for place, own in each.items():
                if key in COUNTS:
                    self.count(own, place, {"n": 2, "seed": 0}.get(key, 1))
                else:
                    self.number(own, place)
        return dict(settings)

    def domain(self, name: str, content: Any, inherited: Mapping[str, Any]) -> Iterable[Rule]:
        """Yield the rules of one domain."""
        path = ("domains", name)
        try:
            domain_of(name)  # one that only the samples hold is any prose, as in a comparison
        except UnknownName as error:
            raise self.wrong(path, str(error)) from None
        table = self.table(content, path)
        self.known(table, path, (*FACETS, *SECTIONS, "min_validity", *OPTIONS))
        options = self.options(table, path, inherited)
        for facet in FACETS:
            if facet in table:
                yield from self.subject(name, "facet", facet, table[facet], (*path, facet), options)
        if "min_validity" in table:
            given = {"min": table["min_validity"]}
            yield from self.subject(name, "guard", "valid", given, (*path, "min_validity"), options)
        for section, of in SECTIONS.items():
            for metric, limits in self.table(table.get(section, {}), (*path, section)).items():
                place = (*path, section, metric)
                yield from self.subject(name, of, self.metric(metric, of, place), limits, place, options)

    def metric(self, name: str, of: str, path: tuple[str, ...]) -> str:
        """Return a metric's own name, having seen that a rule can be made of it."""
        if of == "probe":
            if name not in PROBES:
                raise self.wrong(path, str(UnknownName("probe", name, PROBES)))
            return name
        try:
            found = find_metric(name)
        except UnknownName:
            fitting = [
                m.name for m in known_metrics().values() if (m.facet == "guard") == (of == "guard") and m.unit in UNITS
            ]
            raise self.wrong(path, str(UnknownName(of, name, fitting))) from None
        if (found.facet == "guard") != (of == "guard"):
            section = "guards" if found.facet == "guard" else "metrics"
            raise self.wrong(path, f"'{name}' is no {of}: put it under [{'.'.join(path[:2])}.{section}]")
        if found.unit not in UNITS:
            raise self.wrong(path, f"'{name}' is measured {found.unit}: a rule needs a metric of single prompts")
        if found.headline:
            raise self.wrong(path, f"'{name}' is the kernel of a facet: limit [{'.'.join(path[:2])}.{found.facet}]")
        return found.name

    def subject(
        self, domain: str, of: str, name: str, content: Any, path: tuple[str, ...], inherited: Mapping[str, Any]
    ) -> Iterable[Rule]:
        """Yield the rules about one facet, guard or metric."""
        kinds = [key for key, kind in KINDS.items() if of in kind.of]
        if not isinstance(content, Mapping):
            raise self.wrong(
                path, f"{path[-1]} is not a table: give {{ {kinds[0]} = 0.2 }}, or any of {_listed(kinds)}"
            )
        conditional = () if of in {"guard", "probe"} else ("condition",)
        self.known(content, path, (*kinds, *conditional, *OPTIONS))
        options = self.options(content, path, inherited)
        condition = content.get("condition", ALL)
        if condition not in CONDITIONS:
            raise self.wrong((*path, "condition"), str(UnknownName("condition", str(condition), CONDITIONS)))
        given = [key for key in kinds if key in content]
        if not given:
            raise self.wrong(path, f"[{'.'.join(path)}] limits nothing: give one of {_listed(kinds)}")
        for key in given:
            place = path if key == "min" and path[-1] == "min_validity" else (*path, key)
            rule = Rule(
                domain=domain,
                of=of,
                name=name,
                kind=key,
                limit=0.0,
                condition=condition,
                line=self.line(place),
                **options,
            )
            limit, of_pre = self.limit(content[key], rule, place)
            yield replace(rule, limit=limit, of_pre=of_pre)

    def limit(self, value: Any, rule: Rule, path: tuple[str, ...]) -> tuple[float, bool]:
        """Return a limit and whether it is a share of the value before tuning."""
        kind, name = KINDS[rule.kind], rule.name
        written = PERCENT.fullmatch(value) if isinstance(value, str) else None
        number = float(written[1]) / 100 if written else self.number(value, path)
        if kind.reads == "ratio" and (number < 0 or (kind.side < 0 and number >= 1)):
            most = " and below 1" if kind.side < 0 else ""
            raise self.wrong(
                path, f"{path[-1]} is {number:g}: give a share of the effective number from 0{most}, such as 0.2"
            )
        if kind.reads == "level":
            low, high = rule.range
            if written and not rule.is_share:
                raise self.wrong(path, f"{path[-1]} is {value!r}, and '{name}' is no share: give a number")
            if not low <= number <= high:
                raise self.wrong(path, f"{path[-1]} is {number:g}: '{name}' goes from {low:g} to {high:g}")
            if number == (high if kind.side > 0 else low):
                raise self.wrong(path, f"{path[-1]} is {number:g}, which '{name}' cannot pass: the rule limits nothing")
        if kind.reads == "change" and number < 0:
            raise self.wrong(path, f"{path[-1]} is {number:g}: give the size of the change, 0 or more")
        return number, kind.reads == "change" and written is not None

    def options(self, table: Mapping[str, Any], path: tuple[str, ...], inherited: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that hold in a table: its own, else those around it."""
        own = {key: table[key] for key in OPTIONS if key in table}
        if not isinstance(own.get("strict", False), bool):
            raise self.wrong((*path, "strict"), f"strict is {own['strict']!r}: give true or false")
        if (chosen := own.get("inconclusive", "fail")) not in INCONCLUSIVE:
            raise self.wrong(
                (*path, "inconclusive"), str(UnknownName("value of inconclusive", str(chosen), INCONCLUSIVE))
            )
        if "min_prompts" in own:
            self.count(own["min_prompts"], (*path, "min_prompts"), 2)
        return {**inherited, **own}

    def table(self, value: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.wrong(path, f"{'.'.join(path) or 'a policy'} is not a table: see docs/gate.md")
        return value

    def known(self, table: Mapping[str, Any], path: tuple[str, ...], names: Iterable[str]) -> None:
        names = list(names)
        for key in table:
            if key not in names:
                where = f" in [{'.'.join((*self.prefix, *path))}]" if (*self.prefix, *path) else ""
                raise self.wrong((*path, key), str(UnknownName("key", key, names)).replace(":", f"{where}:", 1))

    def number(self, value: Any, path: tuple[str, ...]) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
            raise self.wrong(path, f"{path[-1]} is {str(value)[:40]!r}, not a number: give one, such as 0.2")
        return float(value)

    def count(self, value: Any, path: tuple[str, ...], least: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(path, f"{path[-1]} is {str(value)[:40]!r}: give a whole number from {least} on")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
