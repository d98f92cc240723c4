"""What is asked: one file a domain, its prompts beside it."""

if __name__ != "diversity.domains":
    raise ImportError("import this folder as `diversity.domains`: a second copy would fill the registry twice")


def load() -> None:
    """Register the domains that come with the package."""
    from diversity.domains.code import Code
    from diversity.domains.story import Story
    from diversity.domains.text import Text
    from diversity.registry import add_domain

    for domain in (Code(), Story(), Text()):
        add_domain(domain)
