"""Converting: from a row of a feed to a record that can be stored."""
