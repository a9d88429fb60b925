"""What the user sees in the terminal: one module for what a command has found; each prints, and decides nothing."""
