"""The process that serves: a real server, a clock that can be set, and faults.

`python -m artemis_testing.host` runs it. Only this part of the package imports the server.
"""
