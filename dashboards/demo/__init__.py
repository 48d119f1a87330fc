"""Believable traffic, to try the pages with: `manage.py demo_data`."""
