"""Feature arrays in, numbers out: how alike two sets, layers or networks are. Nothing here knows models or files."""
