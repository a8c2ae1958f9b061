"""Traffic: origins to forward to, a client that counts, the demo and the benchmarks."""
