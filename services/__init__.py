"""What decides something, and the scheduler of background jobs."""
