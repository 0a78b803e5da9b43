"""Pure helpers that two layers share."""
