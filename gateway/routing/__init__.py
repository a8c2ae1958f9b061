"""From a snapshot to the service and route of a request."""
