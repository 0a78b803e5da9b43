"""Shapes: the tables, what travels on the wire, and the envelope around it."""
