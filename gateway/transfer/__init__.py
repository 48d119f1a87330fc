"""Rows as files for people, and back: CSV, XLSX and JSON, by django-import-export."""
