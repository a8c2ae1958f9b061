"""The command line (DESIGN 1.3). See README.md."""
