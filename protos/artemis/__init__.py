"""The contract of Artemis."""
