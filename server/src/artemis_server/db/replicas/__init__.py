"""Read replicas: standbys of PostgreSQL that answer reads whose callers know how much a standby must have."""
