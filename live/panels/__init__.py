"""The dashboard's views: what each one reads, and what it shows."""
