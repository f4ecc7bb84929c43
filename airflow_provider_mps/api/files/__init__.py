"""Files of tasks: their names in COS, and their download."""
