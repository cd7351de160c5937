"""All that speaks to a person: parsing, printing, live display. Heavy imports wait until a command is called."""
