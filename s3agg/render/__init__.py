"""Output: tables, live progress, JSON. Only this folder imports rich.

Results go to stdout, progress and warnings to stderr. Text from AWS is always `Text`, never markup, with
control characters escaped.
"""
