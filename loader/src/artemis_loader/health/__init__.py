"""The health of the loader: its scheduler runs, and no feed is late."""
