"""`make bench`: this gateway beside other proxies, and its request path alone. See `loadtest/README.md`."""
