"""From a candidate to what is served: evaluation through the real server, the gate, approval."""
