"""Configuration as code: catalog files, applied in one transaction after showing their plan, and exported again."""
