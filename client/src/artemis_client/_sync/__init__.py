# Made by client/generate.py of _async/__init__.py: change that, and run `make client`.
"""The client without asyncio, made by client/generate.py."""
