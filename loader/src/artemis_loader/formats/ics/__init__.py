"""Calendars (iCalendar, RFC 5545): from the lines of a file to rows, one for each time that an event happens.

`components` cuts a file into calendars and components, `lines` into properties; `values` reads times and durations,
`zones` and `zone_names` time zones, `rules` recurrence rules, which `recurrence` expands; `events` reads an event,
`series` finds the times of all events with one UID, and `reader` makes the rows. docs/adr/0046 tells why no library
does this.
"""
