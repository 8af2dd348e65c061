"""Pictures and plots of results; no metric is computed here."""
