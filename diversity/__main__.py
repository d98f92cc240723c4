"""`python -m diversity`."""

from diversity.cli import main

main()
