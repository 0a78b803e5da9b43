"""HTTP only: one module per noun parses, calls one thing and answers."""
