"""Any prose: the domain of prompts that no other domain knows, imported logs above all."""

from diversity.domain import Domain


class Text(Domain):
    """Outputs measured as they are. It brings no prompts and rewards nothing in particular."""

    name = "text"
    noun = "answers"
    primary = "semantic"
    version = "3"
