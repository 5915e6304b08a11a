"""The log of the changes of events: positions in it, reading it in the order of commits, history, and pruning."""
