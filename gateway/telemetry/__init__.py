"""What the world is told of calls: OpenTelemetry, Sentry and Prometheus. Never in the way of a reply, never fatal."""
