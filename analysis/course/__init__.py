"""What every lesson shares: its cells, how claims become verdicts, its page. Nothing here knows one lesson."""
