"""What the user sees: tables, live progress, JSON. The only folder that imports rich.

Results go to stdout, progress and warnings to stderr. What comes from AWS is data: always `Text`,
never markup, with control characters shown escaped.
"""
