"""Rate limits that are exact over the workers of a pool: shared state, small leases, all levels or none."""
