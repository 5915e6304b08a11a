"""The configuration: from a TOML file to the feeds it declares."""
