"""The admin API, its metrics and the console (DESIGN 1.6). See README.md."""
