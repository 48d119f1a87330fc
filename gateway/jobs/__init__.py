"""Periodic jobs of `manage.py worker`, one module for each concern."""
