"""The test kit, `artemis_testing`."""
