"""What is counted and traced while serving: Prometheus figures, MLflow traces."""
