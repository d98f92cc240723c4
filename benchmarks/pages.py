"""Tables that a benchmark makes, in their places in a page of the documentation."""


def written(page: str, tables: dict[str, str], script: str) -> str:
    """Return the page with the tables between their marks."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by benchmarks/{script} -->\n", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise SystemExit(f"the page has no place '{begin.strip()}' … '{end}'")
        page = f"{before}{begin}\n{table}\n\n{end}{rest.partition(end)[2]}"
    return page
