"""How clients come in: listening sockets, TLS, the PROXY protocol."""
