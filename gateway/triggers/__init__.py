"""Switch rules: what they measure, and what they do when it passes their bound."""
