"""Attacks on a running node, and what a client beside them notices. `python -m loadtest.abuse`."""
