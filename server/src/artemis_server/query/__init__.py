"""The languages of `filter` (AIP-160) and `order_by` (AIP-132): from text to typed trees.

This package knows the messages that are filtered, and nothing of how they are stored.
"""
