"""The compiled road, a file a subject, from vectors to the session. No NumPy arithmetic."""
