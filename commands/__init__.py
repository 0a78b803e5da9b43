"""The operator's commands: one module per noun; `manage.py` puts them together."""
