"""What is trained on: one record for each kind of data. Nothing here searches, logs or prints."""
