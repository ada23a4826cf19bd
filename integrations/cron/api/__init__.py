"""The API of scheduled jobs."""
