"""Digests: pages of the dashboards sent by email or to Slack at set times, as their owner would see them, charts as images."""
