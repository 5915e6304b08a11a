"""Lists: the rows that a filter chooses, in an order, a page at a time."""
