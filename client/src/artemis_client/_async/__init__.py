"""The asynchronous client, by hand. client/generate_sync.py makes `artemis_client._sync` of it."""
