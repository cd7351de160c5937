"""Tables of real data: reading, roles of columns, preprocessing, fold plans, named sets and what simple models get."""
