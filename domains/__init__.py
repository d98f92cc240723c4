"""What is asked: one file a domain, its prompts beside it."""

if __name__ != "diversity.domains":
    raise ImportError("import this folder as `diversity.domains`: a second copy would fill the registry twice")


def load() -> None:
    """Register the domains that come with the package."""
    from diversity.domains.brainstorm import Brainstorm
    from diversity.domains.code import Code
    from diversity.domains.code_js import CodeJS
    from diversity.domains.dialogue import Dialogue
    from diversity.domains.factual import Factual
    from diversity.domains.formats import Formats
    from diversity.domains.maths import Math
    from diversity.domains.nli import Nli
    from diversity.domains.poem import Poem
    from diversity.domains.story import Story
    from diversity.domains.summary import Summary
    from diversity.domains.text import Text
    from diversity.domains.variants import Variants
    from diversity.registry import add_domain

    for domain in (
        Code(),
        CodeJS(),
        Math(),
        Story(),
        Poem(),
        Brainstorm(),
        Factual(),
        Summary(),
        Dialogue(),
        Text(),
        Variants(),
        Nli(),
        Formats(),
    ):
        add_domain(domain)
