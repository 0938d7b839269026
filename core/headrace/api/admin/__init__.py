"""The routes for operators: health and readiness, statistics, metrics."""
