"""Any JSONL file, at any size: read, checked, searched and edited outside the UI process.

The screen talks to `reader`, a process of its own, through `client`. The reader holds the index of
lines and what is known of each record, and starts two more processes when they are needed:
`search_worker`, and `check_worker`, which loads the validator.
"""
