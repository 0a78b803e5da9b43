"""The schema's history. Its steps only add, so that an older process runs on a newer schema."""
