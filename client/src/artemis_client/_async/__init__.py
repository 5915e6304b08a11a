"""The asynchronous client, by hand. client/generate.py makes `artemis_client._sync` of it."""
