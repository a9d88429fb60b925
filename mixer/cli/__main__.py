"""``python -m mixer.cli``."""

from mixer.cli import main

main()
