"""HTTP/1.1 without IO: strict heads, chunked content, and the answers the gateway makes itself."""
