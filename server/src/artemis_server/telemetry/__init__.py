"""Telemetry: metrics, the request log and traces. It watches calls and the database, and changes nothing about them."""
