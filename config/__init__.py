"""Reading and checking the settings; `from config.config import load`."""
