"""The `scones` command, a module a group. What a command needs is imported when it runs: help stays quick."""
