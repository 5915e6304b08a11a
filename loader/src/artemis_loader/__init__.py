"""Loads external feeds into the tables of Artemis. It knows the models, and neither the contract nor the server."""
