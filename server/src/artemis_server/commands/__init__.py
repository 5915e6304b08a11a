"""Commands of `artemis-server` beside serving: each is a module."""
