"""The agent: one process for each Docker host, which reports what the host and its containers use."""

VERSION = "1.0.0"
