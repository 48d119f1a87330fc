"""The compliance report: what runs here, who gets data, what is redacted and how long it is kept, for a reader outside."""
