"""The request path: client connections, upstream connections, and what stands between them."""
