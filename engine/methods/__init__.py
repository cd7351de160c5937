"""What a network is trained with: a record for each activation, loss, optimizer, initializer, ... No loop."""
