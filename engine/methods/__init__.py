"""What a network is trained with: one record for each activation, loss, optimizer, initializer, regularizer, schedule.
No loop."""
