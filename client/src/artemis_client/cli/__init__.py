"""The command `artemis`: events and users from a terminal or a script. Its dependencies are the extra `cli`.

Of this wing, `resources` alone knows the types and methods of the client library.
"""
