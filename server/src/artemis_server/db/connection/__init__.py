"""Connections: the shared database object, its sessions, its writers, and the end of statements that take too long."""
