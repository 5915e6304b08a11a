"""The health of the loader: whether its scheduler runs, and which feeds have not been loaded for too long."""
