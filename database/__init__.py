"""Everything that speaks SQL: engines, the group-commit writer and one module of statements per noun."""
