# Made by client/generate_sync.py of _async/__init__.py: change that, and run `make client`.
"""The client without asyncio, made by client/generate_sync.py."""
